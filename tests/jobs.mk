# tests of jobs/
