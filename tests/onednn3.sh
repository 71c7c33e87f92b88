#!/bin/sh
# onednn3.sh TARBALL - build and test cfgen in Debian 13, which has oneDNN 3.
#
# Development happens on Debian 12 and its oneDNN 2.6; the other interface is a set of
# symbols that no compiler sees there. "make check-onednn3" hands over the tarball of make
# dist; this script unpacks it in a chroot of Debian 13, and runs autoreconf, configure and
# make check. The chroot is kept ($CFGEN_CHROOT, by default build-onednn3/chroot in the
# source tree) and its packages are asked for again only when .ci/packages changes.
#
# The packages come from where the host's apt gets its own; $CFGEN_DEBIAN_MIRROR says
# otherwise. Mounts are made in a mount namespace of our own, so they end with us however we
# end. Exit status: 0, 1 when a test failed, 77 when there is no chroot to be had.
# shellcheck disable=SC2016 # text for apt and for the shell in the chroot
set -eu

say()
{
    echo "onednn3: $*"
}

skip()
{
    say "skipped: $*"
    echo "0 passed, 0 failed, 1 skipped"
    exit 77
}

# Run a command quietly; on failure show the end of what it said.
quiet()
{
    what=$1
    shift
    say "$what"
    if ! "$@" >>"$log" 2>&1; then
        tail -n 20 "$log" | sed 's/^/    /'
        return 1
    fi
}

# The mirror that the host's apt uses for Debian itself.
mirror()
{
    if [ -n "${CFGEN_DEBIAN_MIRROR-}" ]; then
        echo "$CFGEN_DEBIAN_MIRROR"
        return
    fi
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
    apt-get indextargets --format '$(CREATED_BY) $(RELEASE) $(COMPONENT) $(REPO_URI)' 2>/dev/null |
        awk -v want="$codename" '$1 == "Packages" && $2 == want && $3 == "main" { print $4; exit }'
}

# The host's settings of how packages are fetched (proxies, checks, languages), and how it
# finds other machines.
borrow_apt_settings()
{
    apt-config dump | grep '^Acquire::.*::.*[^"]";$\|^Acquire::[A-Za-z-]* "..*";$' |
        grep -v 'Proxy-Auto-Detect\|IndexTargets\|Changelogs' >"$1/etc/apt/apt.conf.d/99host" || :
    for file in /etc/apt/auth.conf /etc/apt/auth.conf.d /etc/hosts /etc/resolv.conf; do
        if [ -e "$file" ]; then
            rm -rf "${1:?}$file"
            cp -rL "$file" "$1$file"
        fi
    done
}

make_chroot()
{
    [ "$(id -u)" = 0 ] || skip "making a chroot needs root"
    if ! command -v debootstrap >/dev/null; then
        quiet "installing debootstrap" \
            env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends debootstrap ||
            skip "no debootstrap, and it could not be installed"
    fi
    from=$(mirror)
    [ -n "$from" ] || skip "apt names no mirror of Debian; set CFGEN_DEBIAN_MIRROR"
    for scheme in http https; do
        proxy=$(apt-config dump "Acquire::$scheme::Proxy" | sed 's/.*"\(.*\)".*/\1/')
        case $proxy in '' | DIRECT) ;; *) export "${scheme}_proxy=$proxy" ;; esac
    done
    rm -rf "$root.new"
    quiet "making a chroot of Debian 13 (half a minute to some minutes)" \
        debootstrap --variant=minbase --include=ca-certificates trixie "$root.new" "$from" ||
        skip "debootstrap failed; its log is $log"
    mv "$root.new" "$root"
}

install_packages()
{
    list=$(packages "$src/.ci/packages" build check)
    if [ "$(cat "$root/etc/cfgen-packages" 2>/dev/null)" != "$list" ]; then
        borrow_apt_settings "$root"
        # shellcheck disable=SC2086 # one word a name
        quiet "installing packages in the chroot" inside \
            'apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y \
             --no-install-recommends $*' $list ||
            skip "packages of Debian 13 could not be installed; the log is $log"
        echo "$list" >"$root/etc/cfgen-packages"
    fi
}

# inside SCRIPT ARG...: run it in the chroot with /proc, /sys and /dev there.
inside()
{
    script=$1
    shift
    unshare --mount sh -ec '
        root=$1
        script=$2
        shift 2
        mount -t proc proc "$root/proc"
        mount --rbind /sys "$root/sys"
        mount --rbind /dev "$root/dev"
        exec chroot "$root" /usr/bin/env -i HOME=/root LC_ALL=C.UTF-8 \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            sh -ec "$script" onednn3 "$@"' inside "$root" "$script" "$@"
}

[ $# = 1 ] || { echo "usage: onednn3.sh TARBALL (made by make dist)" >&2; exit 64; }
src=$(cd "${CFGEN_SRCDIR:-$(dirname "$0")/..}" && pwd)
# shellcheck source=.ci/lib.sh
. "$src/.ci/lib.sh"
work=$src/build-onednn3
[ -w "$src" ] || work=$PWD/build-onednn3
root=${CFGEN_CHROOT:-$work/chroot}
mkdir -p "$work" "$(dirname "$root")"
log=$work/onednn3.log
: >"$log"
renice -n 10 $$ >/dev/null # other people work on this machine

[ -d "$root" ] || make_chroot
unshare --mount true 2>/dev/null || skip "no mount namespace to be had here"
install_packages

rm -rf "$root/build"
mkdir "$root/build"
tar -xf "$1" -C "$root/build" --strip-components=1
quiet "autoreconf and configure" inside 'cd /build && autoreconf -fi && ./configure'
sed -n 's/^ *\(oneDNN  *[0-9].*\)/onednn3: found \1/p' "$log"
say "make check (the log is $log)"
status=0
inside 'cd /build && make -j"$(nproc)" check VERBOSE=1' >"$work/check.log" 2>&1 || status=$?
cat "$work/check.log" >>"$log"

# shellcheck disable=SC2046 # three numbers
set -- $(tally "$work/check.log")
passed=$1 failed=$2
if [ "$status" != 0 ]; then
    failures "$work/check.log"
    [ "$failed" != 0 ] || failed=1
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
