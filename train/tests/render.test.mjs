// What render.mjs refuses, and how it finds names. Needs node alone: node --test train/tests

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, beforeEach, test } from "node:test";
import { slug } from "../names.mjs";
import { licenceOf } from "../notice.mjs";
import { verifyPackages } from "../packages.mjs";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "render-test-"));
const modules = path.join(root, "node_modules");
const lock = path.join(root, "package-lock.json");
after(() => fs.rmSync(root, { recursive: true }));

function write(value, ...parts) {
  const file = path.join(...parts);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, JSON.stringify(value));
}

function lockOf(version, integrity) {
  return { packages: { "node_modules/set": { version, integrity } } };
}

beforeEach(() => {
  write(lockOf("1.0.0", "sha512-a"), lock);
  write(lockOf("1.0.0", "sha512-a"), modules, ".package-lock.json");
  write({ version: "1.0.0", license: "MIT" }, modules, "set", "package.json");
});

function licensed(declared, described = declared) {
  write({ license: declared }, modules, "@iconify-json/x/package.json");
  write({ license: { spdx: described } }, modules, "@iconify-json/x/info.json");
}

test("packages as the lock pins them are described", () => {
  const expected = { set: { version: "1.0.0", integrity: "sha512-a", licence: "MIT" } };
  assert.deepEqual(verifyPackages(["set"], lock, modules), expected);
});

test("a package that is missing is named with the command to run", () => {
  write(lockOf("1.0.0", "sha512-a"), lock);
  fs.rmSync(path.join(modules, "set"), { recursive: true });
  const run = () => verifyPackages(["set"], lock, modules);
  assert.throws(run, /set: not installed .* npm ci --prefix train/);
});

test("another version than the lock's is refused", () => {
  write({ version: "1.0.1", license: "MIT" }, modules, "set", "package.json");
  const run = () => verifyPackages(["set"], lock, modules);
  assert.throws(run, /set: version 1\.0\.1 is installed, expected 1\.0\.0/);
});

test("another hash than the lock's is refused", () => {
  write(lockOf("1.0.0", "sha512-b"), modules, ".package-lock.json");
  assert.throws(() => verifyPackages(["set"], lock, modules), /another hash/);
});

test("Apache, MIT, CC-BY and public domain are free", () => {
  for (const licence of ["Apache-2.0", "MIT", "CC-BY-3.0", "CC-BY-4.0", "CC0-1.0"]) {
    licensed(licence);
    assert.equal(licenceOf("x", modules), licence);
  }
});

test("share-alike, non-commercial, unknown and contradictory licences are refused", () => {
  for (const licence of ["CC-BY-SA-4.0", "CC-BY-NC-4.0", "GPL-3.0", undefined]) {
    licensed(licence);
    assert.throws(() => licenceOf("x", modules), /only Apache, MIT, CC-BY/);
  }
  licensed("MIT", "CC-BY-SA-4.0");
  assert.throws(() => licenceOf("x", modules), /info\.json says CC-BY-SA-4\.0/);
});

test("a slug is the name in plain letters", () => {
  assert.equal(slug("Piñata & “free of charge” (é)"), "pinata-and-free-of-charge-e");
  assert.equal(slug("woman’s hat"), "womans-hat");
});
