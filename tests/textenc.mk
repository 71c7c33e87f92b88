# tests of textenc/
