# Checks of the CUDA plugin, none of which needs a GPU. Without nvcc each fails and says so.
#   make cuda-build     the plugin as it is released: no warning, no register spilled; it loads
#   make cuda-test      on the simulator of spec/cudasim: every op, training, failures, coverage
#   make cuda-accept    cuDNN itself plans every convolution of every model for five GPUs

# The plugin's C once more, under the sanitizers and counting lines; the kernels are the same objects.
CUDA_CHECK   = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 --coverage
CUDA_CHECK_O = $(patsubst core/%.c,$(BUILD)/cudacheck/%.o,$(CUDA_C)) \
               $(filter-out $(CUDA_C:core/%.c=$(BUILD)/cudatest/%.o),$(CUDA_TEST_O))

$(BUILD)/cudacheck/cuda/%.o: core/cuda/%.c $(NEEDS)
	$(call COMPILE,-isystem $(CUDA_DIR)/include $(CUDA_CHECK))

$(BUILD)/cudacheck/convlua_cuda.so: $(CUDA_CHECK_O)
	@echo "  LD cudacheck/convlua_cuda.so"
	@$(CC) $(CUDA_CHECK) $(LINK) -shared -o $@ $^ -L$(CUDA_DIR)/lib64 -lcudart -lstdc++ -lm -ldl -lpthread -lrt

# The plugin's own planner of convolutions, around which there is a program.
ACCEPT   = $(BUILD)/cudaaccept/dnn_accept
ACCEPT_O = $(BUILD)/cudaaccept/dnn_accept.o \
           $(patsubst %,$(BUILD)/nvcc/cuda/%.o,dnn_graph dnn_problem cudnn_api library) $(addprefix $(BUILD)/base/,err.o mem.o)

$(BUILD)/cudaaccept/%.o: spec/cuda/%.c $(NEEDS)
	$(call COMPILE,-isystem $(CUDA_DIR)/include)

$(ACCEPT): $(ACCEPT_O)
	@echo "  LD $(@:$(BUILD)/%=%)"
	@$(CC) $(SAN) $(LINK) -o $@ $^ -ldl -Wl,-rpath,$(CUDA_DIR)/lib64

cuda-build: cuda-needed
	@$(MAKE) -s -j$(JOBS) all cuda
	@$(CONVLUA) spec/cuda/build.lua $(BUILD) $(CUDA_O)

cuda-test: cuda-needed
	@$(MAKE) -s -j$(JOBS) all cudasim $(BUILD)/cudatest/convlua_cuda.so $(BUILD)/cudacheck/convlua_cuda.so
	@$(MAKE) -s cudasim-selftest
	@JOBS=$(JOBS) sh spec/cuda/suite.sh $(BUILD)
	@$(CONVLUA) spec/cuda/barriers.lua $(BUILD)
	@$(CONVLUA) spec/cuda/coverage.lua $(BUILD)

cuda-accept: cuda-needed
	@$(MAKE) -s -j$(JOBS) all $(ACCEPT)
	@$(CONVLUA) spec/cuda/problems.lua >$(BUILD)/cudaaccept/problems
	@$(ACCEPT) --explain <$(BUILD)/cudaaccept/problems

cuda-needed:
ifeq ($(NVCC),)
	@echo 'there is no nvcc on this machine: the CUDA plugin is neither built nor tested' >&2
	@exit 1
else
	@echo '#include <cudnn.h>' | $(CC) -E -isystem $(CUDA_DIR)/include - >/dev/null 2>&1 || { \
	  echo 'there is no cudnn.h in $(CUDA_DIR)/include: convolutions by cuDNN are neither built nor tested' >&2; \
	  exit 1; }
endif

.PHONY: cuda-build cuda-test cuda-accept cuda-needed
