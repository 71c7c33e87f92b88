# tests of dnn/
