# programs: cfgen-batch, cfgen
