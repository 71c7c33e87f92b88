// packages.mjs - are the installed npm packages the ones that package-lock.json pins?
//
// `npm ci` compares what it downloads with the hashes of the lock and writes down what it
// installed in node_modules/.package-lock.json. Here that record and every package.json are
// compared with the lock once more: a pack never names a version it was not made from.

import { existsSync, readFileSync } from "node:fs";
import path from "node:path";

export class UserError extends Error {}

export function readJson(...parts) {
  return JSON.parse(readFileSync(path.join(...parts), "utf8"));
}

function readRecord(modules) {
  const file = path.join(modules, ".package-lock.json");
  if (!existsSync(file)) throw new UserError(`${file}: missing; install with "npm ci"`);
  return readJson(file).packages;
}

// {version, integrity, licence} of one package, or an error that says what does not agree.
function verify(name, pinned, record, modules) {
  const manifest = path.join(modules, name, "package.json");
  if (!existsSync(manifest)) {
    throw new UserError(
      `${name}: not installed in ${modules}; run: npm ci --prefix train`,
    );
  }
  const installed = readJson(manifest);
  if (installed.version !== pinned.version) {
    throw new UserError(
      `${name}: version ${installed.version} is installed, expected ${pinned.version}; ` +
        `run: npm ci --prefix train`,
    );
  }
  if (record?.integrity !== pinned.integrity) {
    throw new UserError(`${name}: installed from a file of another hash than the lock's`);
  }
  return {
    version: pinned.version,
    integrity: pinned.integrity,
    licence: installed.license,
  };
}

// The packages `names`, each checked against the lock.
export function verifyPackages(names, lockFile, modules) {
  if (!existsSync(modules)) {
    throw new UserError(`${modules}: no npm packages; run: npm ci --prefix train`);
  }
  const lock = readJson(lockFile).packages;
  const record = readRecord(modules);
  const verified = {};
  for (const name of names) {
    const key = `node_modules/${name}`;
    if (!lock[key]) throw new UserError(`${name}: not in ${lockFile}`);
    verified[name] = verify(name, lock[key], record[key], modules);
  }
  return verified;
}
