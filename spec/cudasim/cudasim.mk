# The CUDA simulator: what the plugin is tested on where there is no GPU. Test only, never installed.
#   make cudasim            build/cudasim/*.so, the libraries to put under the plugin with LD_LIBRARY_PATH
#   make cudasim-selftest   planted bugs that the simulator must find

CUDASIM      = $(BUILD)/cudasim
CUDA_HOME   ?= /usr/local/cuda
SIM_CXX     ?= $(filter ccache,$(CC)) g++
SIM_FLAGS    = -std=c++17 -O2 -g -fPIC -Wall -Wextra -Wshadow -Ispec/cudasim $(SAN)
# Lanes are loops of 32: -O3 and the machine's own vectors. The kernels say themselves where a product and a
# sum are one; integers wrap; a register holds whatever type the last instruction gave it.
PTX_FLAGS    = -O3 -march=native -ffp-contract=off -fno-math-errno -fno-trapping-math -fwrapv \
               -fno-strict-aliasing

PTX_O       := $(patsubst spec/cudasim/%.cc,$(CUDASIM)/%.o,$(wildcard spec/cudasim/ptx/*.cc))

$(CUDASIM)/ptx/%.o: spec/cudasim/ptx/%.cc
	@mkdir -p $(@D) && echo "  CXX $(@:$(BUILD)/%=%)" && \
	  $(SIM_CXX) $(SIM_FLAGS) $(PTX_FLAGS) -MMD -MP -c -o $@ $<

# The fake libraries. NVIDIA's headers give them their signatures; nothing of NVIDIA's is linked.
SIM_SOURCES  = $(filter-out control.cc,$(notdir $(wildcard spec/cudasim/*.cc)))
CUBLAS_SIM  := $(patsubst %.cc,$(CUDASIM)/%.o,$(filter cublas%,$(SIM_SOURCES)))
CUDNN_SIM   := $(patsubst %.cc,$(CUDASIM)/%.o,$(filter cudnn%,$(SIM_SOURCES)))
CUDART_SIM  := $(patsubst %.cc,$(CUDASIM)/%.o,$(filter-out cublas% cudnn%,$(SIM_SOURCES))) $(PTX_O)
SIM_SO       = $(addprefix $(CUDASIM)/,libcudart.so.13 libcublas.so.13 libcudnn.so.9)
SIM_LUA      = $(CUDASIM)/cudasim.so# the controls, for scripts

$(CUDASIM)/%.o: spec/cudasim/%.cc
	@mkdir -p $(@D) && echo "  CXX $(@:$(BUILD)/%=%)" && \
	  $(SIM_CXX) $(SIM_FLAGS) -O3 -isystem $(CUDA_HOME)/include -MMD -MP -c -o $@ $<

SIM_LINK     = @echo "  LD $(@:$(BUILD)/%=%)" && $(SIM_CXX) $(SAN) -shared -pthread -Wl,-soname,$(@F) -Wl,-z,nodelete \
               -Wl,--version-script=$(filter %.map,$^) -o $@ $(filter %.o,$^) $(filter %.13,$^)

$(CUDASIM)/libcudart.so.13: $(CUDART_SIM) spec/cudasim/cudart.map
	$(SIM_LINK)

$(CUDASIM)/libcublas.so.13: $(CUBLAS_SIM) spec/cudasim/cublas.map $(CUDASIM)/libcudart.so.13
	$(SIM_LINK)

$(CUDASIM)/libcudnn.so.9: $(CUDNN_SIM) spec/cudasim/cudnn.map $(CUDASIM)/libcudart.so.13
	$(SIM_LINK)

$(CUDASIM)/control.o: SIM_FLAGS += $(shell pkg-config --cflags $(LUA) 2>/dev/null)

$(SIM_LUA): $(CUDASIM)/control.o $(CUDASIM)/libcudart.so.13
	@echo "  LD $(@:$(BUILD)/%=%)" && $(SIM_CXX) $(SAN) -shared -o $@ $^

cudasim: $(SIM_SO) $(SIM_LUA)

# Programs that call the fakes themselves, some of them wrongly.
RUNTIME_TEST = $(CUDASIM)/selftest_runtime
RUNTIME_O   := $(patsubst spec/cudasim/%.cc,$(CUDASIM)/%.o,\
                 $(wildcard spec/cudasim/selftest_runtime/*.cc))

$(CUDASIM)/selftest_runtime/%.o: spec/cudasim/selftest_runtime/%.cc
	@mkdir -p $(@D) && echo "  CXX $(@:$(BUILD)/%=%)" && \
	  $(SIM_CXX) $(SIM_FLAGS) -isystem $(CUDA_HOME)/include -MMD -MP -c -o $@ $<

$(RUNTIME_TEST)/run: $(RUNTIME_O) $(SIM_SO)
	@echo "  LD $(@:$(BUILD)/%=%)" && $(SIM_CXX) $(SAN) -pthread -o $@ $(RUNTIME_O) $(SIM_SO) \
	  -Wl,-rpath,'$$ORIGIN/..'

selftest-runtime: $(RUNTIME_TEST)/run
	@$(RUNTIME_TEST)/run

# Self-test of the engine. Its kernels are compiled to PTX only.
SELFTEST     = spec/cudasim/selftest
SELFTEST_O  := $(patsubst spec/cudasim/%.cc,$(CUDASIM)/%.o,$(wildcard $(SELFTEST)/*.cc))
SELFTEST_PTX := $(foreach a,75 80 90,$(patsubst spec/cudasim/%.cu,$(CUDASIM)/%.$(a).ptx,$(wildcard $(SELFTEST)/*.cu)))

$(CUDASIM)/selftest/%.o: spec/cudasim/selftest/%.cc
	@mkdir -p $(@D) && echo "  CXX $(@:$(BUILD)/%=%)" && \
	  $(SIM_CXX) $(SIM_FLAGS) -MMD -MP -c -o $@ $<

define PTX_RULE
$(CUDASIM)/selftest/%.$(1).ptx: $(SELFTEST)/%.cu
	@mkdir -p $$(@D) && echo "  NVCC $$(@:$(BUILD)/%=%)" && \
	  $(CUDA_HOME)/bin/nvcc -O3 -std=c++17 -lineinfo -ptx -arch=compute_$(1) -o $$@ $$<
endef
$(foreach a,75 80 90,$(eval $(call PTX_RULE,$(a))))

$(CUDASIM)/selftest/selftest: $(SELFTEST_O) $(PTX_O)
	@echo "  LD $(@:$(BUILD)/%=%)" && $(SIM_CXX) $(SIM_FLAGS) -o $@ $^

selftest-engine: $(CUDASIM)/selftest/selftest $(SELFTEST_PTX)
	@$(CUDASIM)/selftest/selftest $(CUDASIM)/selftest $(SELFTEST)

cudasim-selftest: selftest-engine selftest-runtime

.PHONY: cudasim cudasim-selftest selftest-engine selftest-runtime
