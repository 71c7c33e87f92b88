#!/bin/sh
# Includes point downward:
# base knows nobody; weights, dnn, jobs, store know base; textenc adds dnn and weights;
# models adds textenc/textenc.h; pipeline may see all, and bench pipeline, too.
cd "${CFGEN_SRCDIR:-$(dirname "$0")/..}" || exit 99
echo 1..13
n=0
check() { # module, allowed prefixes as an extended regular expression
    n=$((n + 1))
    bad=$(grep -nE '^#include "' "$1"/*.[ch] "$1"/*.cc 2>/dev/null |
          grep -vE "#include \"($1/|$2)" | grep -v '"config.h"')
    if [ -z "$bad" ]; then echo "ok $n - $1 includes only what lies below it"
    else echo "not ok $n - $1 includes only what lies below it"; echo "$bad" | sed 's/^/# /'; fi
}
check base 'base/'
check weights 'base/'
check dnn 'base/'
check jobs 'base/'
check store 'base/'
check textenc 'base/|dnn/|weights/'
check models 'base/|dnn/|weights/|textenc/textenc\.h'
check pipeline 'base/|dnn/|weights/|textenc/|models/|jobs/|store/'
check bench 'base/|dnn/|weights/|textenc/|models/|jobs/|store/|pipeline/'
# No header of oneDNN outside the one unit that speaks to it; no second C++ file.
n=$((n + 1))
bad=$(grep -lE '<(oneapi/dnnl/)?dnnl' */*.[ch] | grep -vE '^dnn/onednn' ; ls */*.cc | grep -v '^textenc/spm.cc$')
if [ -z "$bad" ]; then echo "ok $n - oneDNN only in dnn/onednn*, C++ only in textenc/spm.cc"
else echo "not ok $n - oneDNN only in dnn/onednn*, C++ only in textenc/spm.cc"; echo "$bad" | sed 's/^/# /'; fi
# hwloc speaks to one file alone.
n=$((n + 1))
bad=$(grep -lE '<hwloc' */*.[ch] | grep -v '^base/topology.c$')
if [ -z "$bad" ]; then echo "ok $n - hwloc only in base/topology.c"
else echo "not ok $n - hwloc only in base/topology.c"; echo "$bad" | sed 's/^/# /'; fi
# cfgen-jobs is built from the queue and the images alone, and its own files see no more.
n=$((n + 1))
bad=$(grep -nE '^#include "' pipeline/cfgen-jobs.c pipeline/cmd_*.c pipeline/gallery*.[ch] pipeline/checks.[ch] |
      grep -vE '#include "(config\.h|base/|jobs/|store/|pipeline/(cmd_|gallery|checks))')
if [ -z "$bad" ]; then echo "ok $n - cfgen-jobs includes only base, jobs and store"
else echo "not ok $n - cfgen-jobs includes only base, jobs and store"; echo "$bad" | sed 's/^/# /'; fi
n=$((n + 1))
jobs=${CFGEN_BUILDDIR:-build}/cfgen-jobs
if ! [ -x "$jobs" ]; then echo "ok $n - cfgen-jobs is linked without the engine # SKIP not built here"
elif bad=$(ldd "$jobs" | grep -E 'dnnl|sentencepiece'); [ -z "$bad" ]; then echo "ok $n - cfgen-jobs is linked without the engine"
else echo "not ok $n - cfgen-jobs is linked without the engine"; echo "$bad" | sed 's/^/# /'; fi
