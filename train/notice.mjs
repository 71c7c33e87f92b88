// notice.mjs - the NOTICE of a pack: whose pictures and names they are, and on which terms.
//
// Name, origin and licence of a set come from its own info.json. The attributions below are
// the copyright lines of the origins, which the packages do not carry. The MIT text is the
// one that emojibase-data ships.

import { readFileSync } from "node:fs";
import path from "node:path";
import { readJson, UserError } from "./packages.mjs";

const ATTRIBUTIONS = {
  noto: "Copyright 2013 Google, Inc. All Rights Reserved.",
  "fluent-emoji-flat": "Copyright (c) Microsoft Corporation.",
  twemoji: "Copyright Twitter, Inc and other contributors.",
  emojione: "Artwork of EmojiOne 2, kept as EmojiTwo by its contributors.",
  fxemoji:
    "Copyright 2015, Mozilla Foundation. Apache-2.0 is the licence of the code; that of\n" +
    "  the visual design is CC-BY-4.0, https://creativecommons.org/licenses/by/4.0/",
  "streamline-emojis": "Streamline Emojis by Streamline, https://streamlinehq.com",
  "flat-color-icons": "Copyright (c) Icons8, https://icons8.com",
  "circle-flags": "Copyright (c) 2021 HatScripts",
};

// Share-alike, non-commercial and unknown licences would bind the weights.
const FREE = /^(Apache-2\.0|MIT|CC-BY-[0-9.]+|CC0-1\.0|Unlicense)$/;

const UNICODE_LICENCE = `UNICODE LICENSE V3

COPYRIGHT AND PERMISSION NOTICE

Copyright (c) 1991-2025 Unicode, Inc.

NOTICE TO USER: Carefully read the following legal agreement. BY
DOWNLOADING, INSTALLING, COPYING OR OTHERWISE USING DATA FILES, AND/OR
SOFTWARE, YOU UNEQUIVOCALLY ACCEPT, AND AGREE TO BE BOUND BY, ALL OF THE
TERMS AND CONDITIONS OF THIS AGREEMENT. IF YOU DO NOT AGREE, DO NOT
DOWNLOAD, INSTALL, COPY, DISTRIBUTE OR USE THE DATA FILES OR SOFTWARE.

Permission is hereby granted, free of charge, to any person obtaining a
copy of data files and any associated documentation (the "Data Files") or
software and any associated documentation (the "Software") to deal in the
Data Files or Software without restriction, including without limitation
the rights to use, copy, modify, merge, publish, distribute, and/or sell
copies of the Data Files or Software, and to permit persons to whom the
Data Files or Software are furnished to do so, provided that either (a)
this copyright and permission notice appear with all copies of the Data
Files or Software, or (b) this copyright and permission notice appear in
associated Documentation.

THE DATA FILES AND SOFTWARE ARE PROVIDED "AS IS", WITHOUT WARRANTY OF ANY
KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT OF
THIRD PARTY RIGHTS.

IN NO EVENT SHALL THE COPYRIGHT HOLDER OR HOLDERS INCLUDED IN THIS NOTICE
BE LIABLE FOR ANY CLAIM, OR ANY SPECIAL INDIRECT OR CONSEQUENTIAL DAMAGES,
OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS,
WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION,
ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THE DATA
FILES OR SOFTWARE.

Except as contained in this notice, the name of a copyright holder shall
not be used in advertising or otherwise to promote the sale, use or other
dealings in these Data Files or Software without prior written
authorization of the copyright holder.
`;

// The licence of a set, which package.json and info.json must both name; an error unless it
// is free.
export function licenceOf(set, modules) {
  const dir = path.join(modules, "@iconify-json", set);
  const declared = readJson(dir, "package.json").license;
  const described = readJson(dir, "info.json").license?.spdx;
  if (declared !== described) {
    throw new UserError(
      `${set}: package.json says ${declared}, info.json says ${described}`,
    );
  }
  if (!FREE.test(declared)) {
    throw new UserError(
      `${set}: licence ${declared}; only Apache, MIT, CC-BY and public domain will do`,
    );
  }
  return declared;
}

function describeSet(set, version, modules) {
  const { name, author, license } = readJson(modules, "@iconify-json", set, "info.json");
  const licence = licenceOf(set, modules);
  return [
    `${name} (npm @iconify-json/${set} ${version})`,
    `  ${ATTRIBUTIONS[set] ?? `Copyright ${author.name}.`}`,
    `  Origin: ${author.name}, ${author.url}`,
    `  Licence: ${licence}, ${license.url ?? "text below"}`,
    "  Changes: drawn at 128x128 pixels; pictures with a skin tone are left out.",
  ].join("\n");
}

function licenceFile(name, modules) {
  return readFileSync(path.join(modules, name, "LICENSE"), "utf8").trim();
}

// `packages` are the verified ones: name -> {version}.
export function writeNotice(sets, packages, modules) {
  const version = (name) => packages[name].version;
  const about = (set) => describeSet(set, version(`@iconify-json/${set}`), modules);
  return [
    "Pictures\n========",
    ...sets.map(about),
    "Names and keywords\n==================",
    `emojibase-data ${version("emojibase-data")}; its names are those of Unicode CLDR, below.`,
    licenceFile("emojibase-data", modules),
    `emojilib ${version("emojilib")}`,
    licenceFile("emojilib", modules),
    "Sets marked MIT have the MIT licence above, with the copyright lines of their own.",
    "Unicode CLDR\n============",
    UNICODE_LICENCE,
  ].join("\n\n");
}
