#!/bin/bash
# The stages of a worker: layouts, the cache of features, conditions, waiting, and an order
# to stop in every stage.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"

numbered() { seq "$1" "$2" | sed 's/^/red apple number /'; }
fill() { # DB LAST
    cfgen-jobs init --db="$1" && numbered 1 "$2" | cfgen-jobs add --db="$1" --format=text -
}
work() { cfgen-batch --quiet "$@"; }

# ---- tars ----

tars() { # NAME OPTION...: 25 jobs in tars of 10, one of them with a size of its own
    local name=$1
    shift
    fill "$name.sqlite" 12 &&
        printf 'penguin\n' | cfgen-jobs add --db="$name.sqlite" --format=text --lossless - &&
        numbered 13 24 | cfgen-jobs add --db="$name.sqlite" --format=text - &&
        work --db="$name.sqlite" --output="$name" --layout=tar --samples-per-shard=10 "$@" &&
        sound "$name.sqlite"
}
first_tars() {
    tars one --threads=1 --claim=1 && [ "$(ls one)" = "$(printf '%s\n' 0000{0,1,2}.{jsonl,tar})" ] &&
        [ "$(sqlite3 one.sqlite 'SELECT group_concat(members) FROM tar WHERE closed')" = 10,10,5 ] &&
        [ "$(tar tf one/00001.tar | head -3 | tr '\n' ' ')" = "000010000.json 000010000.txt 000010000.webp " ]
}
same_tars() { tars "$@" && diff -r -x .cfgen-queue one "$1"; } # each directory names its queue
rows_point() { # every row's bytes are at its offset, and are the file it says
    local path offset bytes sha n=0
    while IFS='|' read -r path offset bytes sha; do
        tail -c +$((offset + 1)) "one/$path" | head -c "$bytes" | sha256sum | grep -q "^$sha" ||
            { echo "$path at $offset"; return 1; }
        n=$((n + 1))
    done < <(sqlite3 one.sqlite 'SELECT path, offset, bytes, file_sha256 FROM output')
    [ $n -eq 25 ]
}
manifest_told() { # as export tells it, with the offset
    [ "$(cat one/*.jsonl | wc -l)" -eq 25 ] && cfgen-jobs export --db=one.sqlite >export.jsonl &&
        jq -c '{id, key, prompt, seed, path, bytes, file_sha256, pixel_sha256}' export.jsonl >told.a &&
        cat one/*.jsonl | jq -c '{id, key, prompt, seed, path, bytes, file_sha256, pixel_sha256}' >told.b &&
        cmp told.a told.b &&
        [ "$(cat one/*.jsonl | jq .offset | paste -sd,)" = "$(sqlite3 one.sqlite 'SELECT group_concat(offset) FROM (SELECT offset FROM output ORDER BY job_id)')" ]
}
case_ "the tar layout makes full tars and a last one, with three members a sample" first_tars
case_ "two threads and seven per claim write the same tars" same_tars two --threads=2 --claim=7
case_ "three threads and claims as they come write the same tars" same_tars three --threads=3
case_ "every row says where its image is" rows_point
case_ "the manifest tells what export tells" manifest_told

stopped_tar() {
    fill part.sqlite 12 &&
        printf 'penguin\n' | cfgen-jobs add --db=part.sqlite --format=text --lossless - &&
        numbered 13 24 | cfgen-jobs add --db=part.sqlite --format=text - || return 1
    work --db=part.sqlite --output=part --layout=tar --samples-per-shard=10 --max-jobs=4 &&
        [ -f part/00000.tar.part ] && [ ! -f part/00000.tar ] || return 1
    work --db=part.sqlite --output=part --samples-per-shard=10 --max-jobs=9 && [ -f part/00001.tar.part ] &&
        work --db=part.sqlite --output=part --samples-per-shard=10 && diff -r -x .cfgen-queue one part
}
killed_tar() { # kill -9 again and again: no sample twice, none missing
    local i pid kills=0
    fill k.sqlite 60 || return 1
    for i in $(seq 1 40); do
        cfgen-batch --quiet --db=k.sqlite --output=k --layout=tar --samples-per-shard=25 --max-crashes=1000 &
        pid=$!
        if [ $kills -lt 5 ]; then
            sleep "0.1$((RANDOM % 10))"
            kill -9 $pid 2>/dev/null && kills=$((kills + 1))
        fi
        wait $pid 2>/dev/null
        [ $? -eq 0 ] && break
    done
    echo "kills: $kills"
    sound k.sqlite && ! ls k/*.part 2>/dev/null &&
        [ "$(cat k/*.jsonl | jq .id | sort -n | uniq | wc -l)" -eq 60 ] && [ "$(cat k/*.jsonl | wc -l)" -eq 60 ] &&
        [ "$(for t in k/*.tar; do tar tf "$t"; done | grep -c webp)" -eq 60 ]
}
case_ "a tar that was left open is gone on with, and the bytes are the same" stopped_tar
case_ "after kill -9 at any moment each job is in the tars once" killed_tar
case_ "another layout than the queue's is refused" says 'laid out as tar' 78 work --db=one.sqlite --output=one --layout=files
kept() {
    fill f.sqlite 1 && work --db=f.sqlite --output=f && says 'laid out as files' 78 work --db=f.sqlite --output=f --layout=tar
}
case_ "a queue that began with files stays with them" kept

planned() { # JOBS LAYOUT WORKERS: of a shard of a plan that says it has so many jobs
    rm -rf p.sqlite plan* shard && fill p.sqlite 4 && cfgen-jobs plan --db=p.sqlite --shards=2 --out=plan.sqlite &&
        sqlite3 plan.sqlite "UPDATE meta SET value=$1 WHERE key='plan_jobs'" &&
        work --db=plan.sqlite --output=shard --shard=1 --layout=auto --workers="$3" --threads=1 &&
        [ "$(sqlite3 plan-00001.results.sqlite "SELECT value FROM meta WHERE key='layout'")" = "$2" ]
}
case_ "a shard of a plan of 100000 jobs makes files" planned 100000 files 1
case_ "a shard of a larger plan makes tars, however few jobs are its own" planned 100001 tar 1
case_ "and so do its workers" planned 100001 tar 2

# ---- the cache of features ----

cached() {
    fill c1.sqlite 20 && fill c2.sqlite 20 && fill c3.sqlite 20 || return 1
    work --db=c1.sqlite --output=c1 &&
        work --db=c2.sqlite --output=c2 --embed-cache=cache --embed-cache-size=2M &&
        cfgen-batch --db=c3.sqlite --output=c3 --embed-cache=cache 2>c3.log || return 1
    diff -r c1 c2 && diff -r c1 c3 && grep -q 'encode_hits=20 encode_misses=0' c3.log
}
case_ "a hit in the cache of features gives the bytes of a miss" cached
spoiled_cache() {
    fill c4.sqlite 20 || return 1
    for f in cache/embed.sqlite*; do
        dd if=/dev/urandom of="$f" bs=1024 seek=3 count=40 conv=notrunc 2>/dev/null
    done
    work --db=c4.sqlite --output=c4 --embed-cache=cache && diff -r c1 c4
}
case_ "a damaged cache costs time and nothing else" spoiled_cache

# ---- which jobs, and when nothing is left ----

where() {
    cfgen-jobs init --db=b.sqlite && printf 'octopus\n' | cfgen-jobs add --db=b.sqlite --format=text --batch=sea - &&
        printf 'banana\n' | cfgen-jobs add --db=b.sqlite --format=text --batch=land - &&
        work --db=b.sqlite --output=b --where=batch=sea &&
        [ "$(sqlite3 b.sqlite 'SELECT group_concat(state) FROM (SELECT state FROM job ORDER BY id)')" = 2,0 ]
}
case_ "only jobs that match are made" where
waits() { # a job that comes while the worker waits
    cfgen-jobs init --db=w.sqlite || return 1
    cfgen-batch --quiet --db=w.sqlite --output=w --wait=60 --max-jobs=1 &
    local pid=$!
    sleep 0.5
    printf 'octopus\n' | cfgen-jobs add --db=w.sqlite --format=text - && wait $pid &&
        [ "$(sqlite3 w.sqlite 'SELECT state FROM job')" = 2 ]
}
case_ "a worker that waits finds the job that comes" waits
case_ "a bad condition is refused" says 'condition .colour=red' 64 work --db=b.sqlite --output=b --where=colour=red
bad_date() { SOURCE_DATE_EPOCH=$1 says 'SOURCE_DATE_EPOCH' 64 work --db=b.sqlite --output=b; }
case_ "a SOURCE_DATE_EPOCH that is no number is refused" bad_date soon
case_ "a SOURCE_DATE_EPOCH that is no date is refused" bad_date 9000000000000000000

# ---- shards of a plan ----

sharded() {
    cfgen-jobs init --db=q.sqlite && cp q.sqlite whole.sqlite && numbered 1 12 >q.txt &&
        cfgen-jobs add --db=q.sqlite --format=text --seeds=1,2 q.txt &&
        cfgen-jobs add --db=whole.sqlite --format=text --seeds=1,2 q.txt &&
        cfgen-jobs plan --db=q.sqlite --shards=3 --out=q.plan || return 1
    work --db=q.plan --shard=0/3 --output=q && work --db=q.plan --shard=1 --results=r1.sqlite --output=q &&
        SLURM_ARRAY_TASK_ID=2 work --db=q.plan --shard=auto --output=q &&
        cfgen-jobs merge --db=q.sqlite q.plan-00000.results.sqlite r1.sqlite q.plan-00002.results.sqlite &&
        work --db=whole.sqlite --output=whole && diff -r q whole && sound q.sqlite &&
        manifest q.sqlite >q.jsonl && manifest whole.sqlite >whole.jsonl && cmp q.jsonl whole.jsonl
}
case_ "three shards, merged, are what one queue comes to" sharded
case_ "a plan without a shard is refused, and the message says how to name one" says '--shard=0 to --shard=2' 78 work --db=q.plan --output=q
case_ "another number of shards than the plan's is refused" says 'has 3 shards' 78 work --db=q.plan --shard=1/4 --output=q
case_ "a shard that the plan does not have is refused" says 'shards 0..2' 64 work --db=q.plan --shard=3 --output=q
case_ "results without a shard make no sense" says 'needs --shard' 64 work --db=q.sqlite --results=x

# ---- told to stop ----

ms() { echo $(($(date +%s%N) / 1000000)); }
soon=2000
if nm -C "$bld/cfgen-batch" 2>/dev/null | grep -qE '__(a|ub)san_'; then soon=4000; fi # slow, and checks for leaks at exit
stop_and_see() { # PID STATUS: within two seconds
    local start=$(ms)
    kill -TERM "$1"
    exits "$2" wait "$1" || return 1
    echo "stopped after $(($(ms) - start)) ms"
    [ $(($(ms) - start)) -lt $soon ]
}
uncharged() { # DB
    sound "$1" && [ "$(sqlite3 "$1" 'SELECT count(*) FROM lease')" -eq 0 ] &&
        [ "$(sqlite3 "$1" 'SELECT sum(attempts) + sum(crashes) FROM job WHERE state = 0')" -eq 0 ]
}
own_status() {
    fill s.sqlite 400 || return 1
    cfgen-batch --quiet --db=s.sqlite --output=s --stop-status=3 --claim=16 &
    local pid=$!
    sleep 0.5
    stop_and_see $pid 3 && uncharged s.sqlite
}
case_ "stopped in the middle it ends with the status asked for" own_status
loading() { # of weights that take long to be hashed
    cp -r "$shipped" slow && fill l.sqlite 3 || return 1
    local f=$(ls slow/*.safetensors | head -1) pid
    truncate -s 64G "$f" || return 1
    cfgen-batch --quiet --db=l.sqlite --output=l --model="$PWD/slow" &
    pid=$!
    sleep 0.3
    stop_and_see $pid 75 && uncharged l.sqlite
}
case_ "told to stop while a model is loaded it leaves at once" loading
locked() { # somebody holds the queue for good, while images are on their way
    fill x.sqlite 400 || return 1
    cfgen-batch --quiet --db=x.sqlite --output=x &
    local pid=$! holder i got
    for i in $(seq 1 200); do
        [ "$(sqlite3 x.sqlite 'SELECT count(*) FROM output' 2>/dev/null)" -gt 2 ] 2>/dev/null && break
        sleep 0.02
    done
    mkfifo hold
    sqlite3 x.sqlite <hold &
    holder=$!
    exec 9>hold
    printf 'PRAGMA busy_timeout=5000; BEGIN EXCLUSIVE;\n' >&9
    sleep 0.5
    stop_and_see $pid 75
    got=$?
    exec 9>&-
    wait $holder
    # Nobody was let in to give the leases back: the next worker does, for our lock is free.
    [ $got -eq 0 ] && work --db=x.sqlite --output=x --max-jobs=1 && sound x.sqlite &&
        [ "$(sqlite3 x.sqlite 'SELECT count(*) FROM lease')" -eq 0 ]
}
case_ "told to stop while the queue is locked it leaves within two seconds" locked
plan_
