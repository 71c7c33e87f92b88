-- queue_rows.sql - fills an empty queue as if it had been worked on for weeks. temp.size says
-- how many prompts; each has four jobs. Of ten jobs seven are done, one failed, two ready; two
-- workers live, of which one is of another host, and hold a lease each.
PRAGMA journal_mode = DELETE;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -262144;
BEGIN EXCLUSIVE;
INSERT INTO recipe(id, sha256, json) VALUES(1,
  '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', '{}');
INSERT INTO model(id, kind, sha256) VALUES(1, 'model', 'm');
INSERT INTO batch(id, name, source, added_at) VALUES(1, 'weeks', 'queue_rows.sql', 0);
INSERT INTO worker(id, host, boot_id, pid, started, build, cpu)
  VALUES(1, 'far', 'b', 11, 1000, '', ''), (2, 'farther', 'b', 12, 1000, '', '');
INSERT INTO prompt(id, sha256, text)
  WITH RECURSIVE p(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM p, size WHERE i < prompts)
  SELECT i, CAST(printf('%032d', i) AS BLOB),
    'a photograph of animal number ' || i || ' standing in a landscape with trees under a sky,'
    || ' soft light, 35 mm, detailed, and more words' FROM p;
INSERT INTO job(prompt_id, recipe_id, seed, state, batch_id)
  SELECT p.id, 1, s.value,
    CASE (p.id * 4 + s.value) % 10 WHEN 0 THEN 0 WHEN 1 THEN 0 WHEN 2 THEN 3 ELSE 2 END, 1
  FROM prompt p, json_each('[0,1,2,3]') s WHERE p.id > 0;
-- Ten images a second up to now.
INSERT INTO output(job_id, path, bytes, file_sha256, pixel_sha256, width, height, ended, build,
    isa, threads, model_id, stage_ms)
  SELECT j.id, printf('%02x/%02x/%032x.webp', j.id % 256, j.id / 256 % 256, j.id), 40000,
    printf('%064x', j.id), printf('%064x', -j.id), 256, 256,
    unixepoch() * 1000 - (m.last - j.id) * 70, '', 'avx512', 2, 1,
    printf('{"encode":%d,"generate":%d,"decode":%d,"webp":%d}', j.id % 9, 60 + j.id % 7,
      20 + j.id % 5, 3)
  FROM job j, (SELECT max(id) AS last FROM job) m WHERE j.state = 2;
INSERT INTO attempt(job_id, n, worker_id, started, ended, outcome, code, message)
  SELECT id, 1, 1, 0, 1, 'failed', iif(id % 3, 'EFORMAT', 'ENOMEM'), 'as told' FROM job
  WHERE state = 3;
INSERT INTO failure(job_id, code, message) SELECT job_id, code, message FROM attempt;
UPDATE job SET state = 1 WHERE id IN (SELECT id FROM job WHERE state = 0 ORDER BY id LIMIT 2);
INSERT INTO lease(job_id, worker_id, token)
  SELECT id, id % 2 + 1, printf('%032x', id) FROM job WHERE state = 1;
INSERT INTO attempt(job_id, n, worker_id, started)
  SELECT job_id, 1, worker_id, 2000 FROM lease;
COMMIT;
PRAGMA journal_mode = WAL;
