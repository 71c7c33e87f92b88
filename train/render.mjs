#!/usr/bin/env node
// render.mjs - npm's picture sets -> a pack: 128x128 pictures with their names.
//
//   icons.json of each set  --names.mjs-->  jobs: SVG and what it shows
//   jobs  --child process, resvg-->  pictures.rgba, straight alpha
//
// The native library aborts the whole process on an icon that it cannot take, so a child
// draws: where it dies, the picture it was at is named and left out, and another child goes
// on behind it. Files are written in a folder inside the pack and renamed at the end,
// pack.json last: a pack with a pack.json is complete.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { describe, Names } from "./names.mjs";
import { licenceOf, writeNotice } from "./notice.mjs";
import { readJson, UserError, verifyPackages } from "./packages.mjs";

const SELF = fileURLToPath(import.meta.url);
const HERE = path.dirname(SELF);
const SIZE = 128;
const FRAME = SIZE * SIZE * 4;
const MOST_LOST = 20; // more is no bad icon but a library that does not work here

const SETS = [
  "noto",
  "fluent-emoji-flat",
  "twemoji",
  "emojione",
  "fxemoji",
  "streamline-emojis",
  "flat-color-icons",
  "circle-flags",
];

const HELP = `usage: node train/render.mjs PACK [--sets A,B,...] [--modules DIR]

Draws npm's picture sets, without skin tones, into the directory PACK:
pictures.rgba, pictures.jsonl, NOTICE, pack.json.

  --sets A,B,...  of ${SETS.slice(0, 4).join(", ")},
                  ${SETS.slice(4).join(", ")}
                  (default: all)
  --modules DIR   where npm installed the packages (default: train/node_modules)

Install the packages first: npm ci --prefix train
`;

// --- what to draw

function svgOf(icon, set) {
  const left = icon.left ?? set.left ?? 0;
  const top = icon.top ?? set.top ?? 0;
  const width = icon.width ?? set.width ?? 16;
  const height = icon.height ?? set.height ?? 16;
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ' +
    `viewBox="${left} ${top} ${width} ${height}">${icon.body}</svg>`;
  return { svg, fit: width >= height ? "width" : "height" };
}

// The icons of one set that show a known concept without skin tone.
function jobsOf(set, names, modules) {
  const dir = path.join(modules, "@iconify-json", set);
  const icons = readJson(dir, "icons.json");
  const chars = readJson(dir, "chars.json");
  const hexOfName = new Map(Object.entries(chars).map(([hex, name]) => [name, hex]));
  const jobs = [];
  let nameless = 0;
  for (const [name, icon] of Object.entries(icons.icons)) {
    if (icon.hidden) continue; // withdrawn by the set
    const concept = names.find(set, name, hexOfName.get(name));
    if (!concept) nameless++;
    else if (!concept.toned) jobs.push({ set, name, concept, ...svgOf(icon, icons) });
  }
  return { jobs, nameless };
}

function collectJobs(sets, modules) {
  const names = new Names(modules);
  return sets.flatMap((set) => {
    const { jobs, nameless } = jobsOf(set, names, modules);
    console.log(`${set}: ${jobs.length} pictures, ${nameless} icons of no known name`);
    return jobs;
  });
}

// --- drawing, in the child

// resvg premultiplies; a pack holds straight alpha, and no colour where nothing is seen.
function straighten(pixels) {
  for (let p = 0; p < pixels.length; p += 4) {
    const alpha = pixels[p + 3];
    if (alpha === 255) continue;
    for (let c = p; c < p + 3; c++) {
      pixels[c] = alpha ? Math.min(255, Math.round((pixels[c] * 255) / alpha)) : 0;
    }
  }
}

// One picture: the icon fitted into the square and centred.
function draw(Resvg, { svg, fit }) {
  const options = { fitTo: { mode: fit, value: SIZE }, font: { loadSystemFonts: false } };
  const { pixels, width, height } = new Resvg(svg, options).render();
  const frame = Buffer.alloc(FRAME);
  const x = (SIZE - width) >> 1;
  const y = (SIZE - height) >> 1;
  for (let row = 0; row < height; row++) {
    pixels.copy(
      frame,
      ((y + row) * SIZE + x) * 4,
      row * width * 4,
      (row + 1) * width * 4,
    );
  }
  straighten(frame);
  return frame;
}

function readLines(file) {
  return fs
    .readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

// Each picture is in the file before the next one is begun: a crash shows where it was.
function drawFrom(first, jobsFile, pictures, modules) {
  const { Resvg } = createRequire(SELF)(path.join(modules, "@resvg/resvg-js"));
  const fd = fs.openSync(pictures, "a");
  for (const job of readLines(jobsFile).slice(first)) fs.writeSync(fd, draw(Resvg, job));
  fs.closeSync(fd);
}

// --- drawing, in the parent

function runChild(first, jobsFile, pictures, modules) {
  const args = [SELF, "--draw-from", String(first), jobsFile, pictures, modules];
  const child = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (child.error) throw child.error;
  if (["SIGINT", "SIGTERM", "SIGKILL"].includes(child.signal)) {
    throw new UserError(`drawing was stopped by ${child.signal}`);
  }
  return child;
}

function wholeFrames(file) {
  const frames = Math.floor(fs.statSync(file).size / FRAME);
  fs.truncateSync(file, frames * FRAME);
  return frames;
}

// Draws the jobs into `pictures`; returns those drawn, in order, and those lost.
function drawAll(jobs, jobsFile, pictures, modules) {
  fs.writeFileSync(jobsFile, jobs.map((job) => `${JSON.stringify(job)}\n`).join(""));
  fs.writeFileSync(pictures, "");
  const drawn = [];
  const lost = [];
  let next = 0;
  while (next < jobs.length) {
    const child = runChild(next, jobsFile, pictures, modules);
    const done = wholeFrames(pictures) - drawn.length;
    drawn.push(...jobs.slice(next, next + done));
    next += done;
    if (next === jobs.length) break;
    const { set, name } = jobs[next++];
    lost.push(`${set}/${name}`);
    console.log(`lost ${set}/${name}: resvg ended with ${child.signal ?? child.status}`);
    if (lost.length > MOST_LOST) {
      throw new UserError(
        `${lost.length} pictures lost, is resvg usable?\n${child.stderr}`,
      );
    }
  }
  return { drawn, lost };
}

// --- the pack

function sha256(file) {
  const hash = createHash("sha256");
  const fd = fs.openSync(file, "r");
  const chunk = Buffer.alloc(1 << 20);
  for (let n; (n = fs.readSync(fd, chunk)) > 0;) hash.update(chunk.subarray(0, n));
  fs.closeSync(fd);
  return hash.digest("hex");
}

function packagesOf(sets) {
  const pictures = sets.map((set) => `@iconify-json/${set}`);
  return [...pictures, "emojibase-data", "emojilib", "@resvg/resvg-js"];
}

function writeFiles(dir, sets, packages, modules) {
  const file = (name) => path.join(dir, name);
  const jobs = collectJobs(sets, modules);
  const { drawn, lost } = drawAll(
    jobs,
    file("jobs.jsonl"),
    file("pictures.rgba"),
    modules,
  );
  const lines = drawn.map((job, i) =>
    JSON.stringify(describe(i, job.set, job.name, job.concept)),
  );
  const concepts = new Set(drawn.map((job) => job.concept.hex)).size;
  const pack = { packages, sets, size: SIZE, pictures: drawn.length, concepts, lost };
  pack.sha256 = sha256(file("pictures.rgba"));
  fs.writeFileSync(file("pictures.jsonl"), `${lines.join("\n")}\n`);
  fs.writeFileSync(file("NOTICE"), writeNotice(sets, packages, modules));
  fs.writeFileSync(file("pack.json"), `${JSON.stringify(pack, null, 2)}\n`);
  return pack;
}

// While files are renamed the pack is incomplete, so it has no pack.json.
function moveFiles(from, to) {
  fs.rmSync(path.join(to, "pack.json"), { force: true });
  for (const name of ["pictures.rgba", "pictures.jsonl", "NOTICE", "pack.json"]) {
    fs.renameSync(path.join(from, name), path.join(to, name));
  }
}

function render(dir, sets, modules) {
  const packages = verifyPackages(
    packagesOf(sets),
    path.join(HERE, "package-lock.json"),
    modules,
  );
  for (const set of sets) licenceOf(set, modules);
  fs.mkdirSync(dir, { recursive: true });
  const work = fs.mkdtempSync(path.join(dir, "rendering-"));
  try {
    const pack = writeFiles(work, sets, packages, modules);
    moveFiles(work, dir);
    console.log(`${dir}: ${pack.pictures} pictures of ${pack.concepts} concepts`);
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}

// --- the command line

function chosenSets(list) {
  if (!list) return SETS;
  const sets = list.split(",");
  const unknown = sets.filter((set) => !SETS.includes(set));
  if (unknown.length)
    throw new UserError(`no such set: ${unknown}; there are ${SETS.join(", ")}`);
  return SETS.filter((set) => sets.includes(set));
}

function parseCommand() {
  const options = {
    help: { type: "boolean", short: "h" },
    sets: { type: "string" },
    modules: { type: "string", default: path.join(HERE, "node_modules") },
    "draw-from": { type: "string" }, // how a parent starts its child
  };
  try {
    return parseArgs({ options, allowPositionals: true });
  } catch (error) {
    throw new UserError(error.message);
  }
}

function main() {
  const { values, positionals } = parseCommand();
  if (values.help) return process.stdout.write(HELP);
  if (values["draw-from"]) return drawFrom(Number(values["draw-from"]), ...positionals);
  if (positionals.length !== 1)
    throw new UserError(`name one directory for the pack\n\n${HELP}`);
  return render(positionals[0], chosenSets(values.sets), path.resolve(values.modules));
}

try {
  main();
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(`render.mjs: ${error.message}`);
  process.exitCode = 1;
}
