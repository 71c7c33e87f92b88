// names.mjs - which concept an icon of a set shows.
//
// A concept is one emoji of Unicode: its code points (`hex`), its CLDR name (`label`),
// search words (`tags`), group and translations. The sets name their icons in four ways,
// tried in this order:
//
//   code point   the set's chars.json maps it to the icon           noto, fluent, twemoji
//   country      "de" -> the flag of two regional indicators        circle-flags
//   slug         "red-apple", as the CLDR name or a shortcode spells it
//   squashed     "redapple", what old sets made of it                fxemoji
//
// flat-color-icons draws no emoji: there every icon is a concept of its own.

import { readJson } from "./packages.mjs";

const LANGUAGES = ["zh", "es", "fr", "de", "ja", "ru", "pt", "it", "ko", "hi"];
const SHORTCODES = ["cldr", "github", "emojibase", "iamcal", "joypixels"];
const MOST_TAGS = 16;
const MOST_TRANSLATED_TAGS = 4;
const OBJECTS = 7; // the group of Unicode that icons without a code point join

// Variation selector 16 says "as a picture"; the sets disagree about writing it.
function canonicalHex(hex) {
  return hex
    .toUpperCase()
    .split("-")
    .filter((point) => point !== "FE0F")
    .join("-");
}

function hexOf(text) {
  return canonicalHex(
    [...text].map((char) => char.codePointAt(0).toString(16)).join("-"),
  );
}

export function slug(text) {
  return text
    .toLowerCase()
    .normalize("NFD")
    .replace(/[\u0300-\u036f]/g, "") // accents, which NFD has split off
    .replace(/[’'“”!.,()]/g, "")
    .replace(/&/g, "and")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
}

function squash(text) {
  return slug(text).replace(/-/g, "");
}

function setIfNew(map, key, value) {
  if (!map.has(key)) map.set(key, value);
}

// The five colour samples 🏻..🏿 show nothing but a skin tone.
function isToneSample(hex) {
  return /^1F3F[B-F]$/.test(hex);
}

// Emojis by code point, slug and squashed name.
export class Names {
  #byHex = new Map();
  #bySlug = new Map();
  #bySquash = new Map();

  constructor(modules) {
    this.#addEmojis(readJson(modules, "emojibase-data/en/data.json"));
    this.#addShortcodes(modules);
    this.#addKeywords(readJson(modules, "emojilib/dist/emoji-en-US.json"));
    this.#addTranslations(modules);
  }

  #addEmojis(emojis) {
    for (const emoji of emojis) {
      this.#addEmoji(emoji, emoji.tags);
      for (const skin of emoji.skins ?? []) this.#addEmoji(skin, emoji.tags);
    }
  }

  // Variants with a skin tone are entered too: an icon is left out if it is one of them.
  #addEmoji(emoji, tags = []) {
    const hex = canonicalHex(emoji.hexcode);
    const toned = Boolean(emoji.tone) || isToneSample(hex);
    const concept = {
      hex,
      label: emoji.label,
      tags: new Set(tags),
      group: emoji.group,
      toned,
    };
    this.#byHex.set(hex, concept);
    this.#bySlug.set(slug(emoji.label), concept);
    if (!emoji.tone) this.#bySquash.set(squash(emoji.label), concept);
  }

  // Older sets call emojis by their shortcodes; CLDR's names go first.
  #addShortcodes(modules) {
    for (const source of SHORTCODES) {
      const codes = readJson(modules, `emojibase-data/en/shortcodes/${source}.json`);
      for (const [hex, names] of Object.entries(codes)) {
        const concept = this.#byHex.get(canonicalHex(hex));
        if (!concept || concept.toned) continue;
        for (const name of [names].flat()) {
          setIfNew(this.#bySquash, squash(name), concept);
          setIfNew(this.#bySlug, slug(name), concept);
        }
      }
    }
  }

  #addKeywords(keywords) {
    for (const [emoji, words] of Object.entries(keywords)) {
      const concept = this.#byHex.get(hexOf(emoji));
      for (const word of words) concept?.tags.add(word.replace(/_/g, " "));
    }
  }

  #addTranslations(modules) {
    for (const language of LANGUAGES) {
      for (const emoji of readJson(modules, `emojibase-data/${language}/data.json`)) {
        const concept = this.#byHex.get(canonicalHex(emoji.hexcode));
        if (!concept || concept.toned) continue;
        const tags = (emoji.tags ?? []).slice(0, MOST_TRANSLATED_TAGS);
        (concept.i18n ??= {})[language] = [emoji.label, ...tags];
      }
    }
  }

  #bySpelling(name) {
    const spelt = name.replace(/^flag-for-/, "flag-");
    const single = spelt.replace(/-\d$/, ""); // a second drawing: "grinning-face-2"
    const toned = spelt.replace(/-((?:medium-)?(?:light|dark)|medium)$/, "-$1-skin-tone");
    const found =
      this.#bySlug.get(spelt) ?? this.#bySlug.get(single) ?? this.#bySlug.get(toned);
    if (found || /skin|tone|light|dark/.test(spelt)) return found;
    return this.#bySquash.get(squash(spelt)) ?? this.#bySquash.get(squash(single));
  }

  #byCountry(code) {
    if (!/^[a-z]{2}$/.test(code)) return undefined;
    const letters = [...code].map((letter) => 0x1f1e6 + letter.charCodeAt(0) - 97);
    return this.#byHex.get(canonicalHex(letters.map((n) => n.toString(16)).join("-")));
  }

  // The concept of icon `name` in `set`, or undefined; `hex` is its code point where
  // chars.json knows it. Concepts with a skin tone have `toned`.
  find(set, name, hex) {
    const concept = hex && this.#byHex.get(canonicalHex(hex));
    if (concept) return concept;
    if (set === "circle-flags") return this.#byCountry(name);
    if (set === "flat-color-icons") return iconConcept(name);
    return this.#bySpelling(name);
  }
}

function iconConcept(name) {
  const label = name.replace(/-/g, " ");
  return { hex: `FCI-${name}`, label, tags: new Set(), group: OBJECTS, toned: false };
}

// One line of pictures.jsonl.
export function describe(i, set, name, concept) {
  const { hex, label, group, i18n } = concept;
  const tags = [...concept.tags].slice(0, MOST_TAGS);
  return { i, set, name, hex, label, tags, group, tone: 0, i18n };
}
