# tests of weights/
