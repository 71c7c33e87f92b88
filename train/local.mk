# The recipe of the model that ships, in Python: nothing here is built or installed.
EXTRA_DIST += %D%/.npmrc %D%/README.md %D%/cfgen-train %D%/concepts %D%/names.mjs \
	%D%/notice.mjs %D%/package-lock.json %D%/package.json %D%/packages.mjs %D%/recipe \
	%D%/render.mjs %D%/tests

# recipe and tests are taken whole, with what Python left there
dist-hook:
	rm -rf '$(distdir)/%D%/recipe/__pycache__' '$(distdir)/%D%/tests/__pycache__'

TESTS += tests/cli/train.sh
dist_noinst_SCRIPTS += tests/cli/train.sh
tests/cli/train.log: cfgen$(EXEEXT) cfgen-model$(EXEEXT) tests/check-golden$(EXEEXT)
