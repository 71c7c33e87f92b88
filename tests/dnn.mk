# tests of dnn/: the kernels against C, then everything once per instruction set
check_PROGRAMS += %D%/checkkern %D%/dnn_test %D%/layer_test %D%/mapped_test \
	%D%/ops_test %D%/attn_test %D%/kv_test %D%/resample_test %D%/dnn_nomem_test %D%/quant_test \
	%D%/packs_test
TESTS += %D%/checkkern %D%/dnn_levels.sh %D%/isa.sh %D%/dnn_nomem_test
dist_noinst_SCRIPTS += %D%/dnn_levels.sh %D%/isa.sh
CF_DNN_TEST_LIBS = $(CF_DNN_LIBS) $(CF_BASE_LIBS) $(CMOCKA_LIBS)

%C%_checkkern_SOURCES = %D%/kern_check.c %D%/kern_guard.h %D%/kern_bench.c \
	%D%/kern_bench.h %D%/kern_attn_check.h %D%/kern_pack_check.h %D%/kern_wino_check.h
%C%_checkkern_LDADD = $(CF_DNN_LIBS) $(CF_BASE_LIBS)

%C%_dnn_test_SOURCES = %D%/dnn_test.c %D%/dnn_tools.h
%C%_dnn_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_dnn_test_LDADD = $(CF_DNN_TEST_LIBS)
%C%_layer_test_SOURCES = %D%/layer_test.c %D%/dnn_tools.h
%C%_layer_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_layer_test_LDADD = $(CF_DNN_TEST_LIBS)
%C%_mapped_test_SOURCES = %D%/mapped_test.c %D%/dnn_tools.h
%C%_mapped_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_mapped_test_LDADD = $(CF_DNN_TEST_LIBS)
%C%_ops_test_SOURCES = %D%/ops_test.c %D%/dnn_tools.h
%C%_ops_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_ops_test_LDADD = $(CF_DNN_TEST_LIBS)
%C%_attn_test_SOURCES = %D%/attn_test.c %D%/dnn_tools.h
%C%_attn_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_attn_test_LDADD = $(CF_DNN_TEST_LIBS)
%C%_kv_test_SOURCES = %D%/kv_test.c %D%/dnn_tools.h
%C%_kv_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_kv_test_LDADD = $(CF_DNN_TEST_LIBS)
%C%_resample_test_SOURCES = %D%/resample_test.c %D%/dnn_tools.h
%C%_resample_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_resample_test_LDADD = $(CF_DNN_TEST_LIBS)
%C%_dnn_nomem_test_SOURCES = %D%/dnn_nomem_test.c %D%/dnn_tools.h %D%/nomem.h
%C%_dnn_nomem_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_dnn_nomem_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=aligned_alloc
%C%_dnn_nomem_test_LDADD = $(CF_DNN_TEST_LIBS)
%C%_packs_test_SOURCES = %D%/packs_test.c %D%/dnn_tools.h
%C%_packs_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_packs_test_LDADD = $(CF_DNN_TEST_LIBS)
%C%_quant_test_SOURCES = %D%/quant_test.c %D%/dnn_tools.h
%C%_quant_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_quant_test_LDADD = $(CF_DNN_TEST_LIBS)
