# The CUDA simulator: what the plugin is tested on where there is no GPU. Test only, never installed.
#   make cudasim            build/cudasim/*.so, the libraries to put under the plugin with LD_LIBRARY_PATH
#   make cudasim-selftest   planted bugs that the simulator must find

CUDASIM      = $(BUILD)/cudasim
CUDA_HOME   ?= /usr/local/cuda
SIM_CXX     ?= $(patsubst %gcc,%g++,$(CC))
SIM_FLAGS    = -std=c++17 -O2 -g -fPIC -Wall -Wextra -Wshadow -Ispec/cudasim $(SAN)
# Lanes are loops of 32: -O3 and the machine's own vectors; no contraction, the kernels say fma themselves.
PTX_FLAGS    = -O3 -march=native -ffp-contract=off -fno-math-errno -fno-trapping-math

PTX_O       := $(patsubst spec/cudasim/%.cc,$(CUDASIM)/%.o,$(wildcard spec/cudasim/ptx/*.cc))

$(CUDASIM)/ptx/%.o: spec/cudasim/ptx/%.cc
	@mkdir -p $(@D) && echo "  CXX $(@:$(BUILD)/%=%)" && \
	  $(SIM_CXX) $(SIM_FLAGS) $(PTX_FLAGS) -MMD -MP -c -o $@ $<

# The fake libraries. NVIDIA's headers give them their signatures; nothing of NVIDIA's is linked.
SIM_SOURCES  = $(notdir $(wildcard spec/cudasim/*.cc))
CUBLAS_SIM  := $(patsubst %.cc,$(CUDASIM)/%.o,$(filter cublas%,$(SIM_SOURCES)))
CUDNN_SIM   := $(patsubst %.cc,$(CUDASIM)/%.o,$(filter cudnn%,$(SIM_SOURCES)))
CUDART_SIM  := $(patsubst %.cc,$(CUDASIM)/%.o,$(filter-out cublas% cudnn%,$(SIM_SOURCES))) $(PTX_O)
SIM_SO       = $(addprefix $(CUDASIM)/,libcudart.so.13 libcublas.so.13 libcudnn.so.9)

$(CUDASIM)/%.o: spec/cudasim/%.cc
	@mkdir -p $(@D) && echo "  CXX $(@:$(BUILD)/%=%)" && \
	  $(SIM_CXX) $(SIM_FLAGS) -O3 -isystem $(CUDA_HOME)/include -MMD -MP -c -o $@ $<

SIM_LINK     = @echo "  LD $(@:$(BUILD)/%=%)" && $(SIM_CXX) $(SAN) -shared -pthread -Wl,-soname,$(@F) \
               -Wl,--version-script=$(filter %.map,$^) -o $@ $(filter %.o,$^) $(filter %.13,$^)

$(CUDASIM)/libcudart.so.13: $(CUDART_SIM) spec/cudasim/cudart.map
	$(SIM_LINK)

$(CUDASIM)/libcublas.so.13: $(CUBLAS_SIM) spec/cudasim/cublas.map $(CUDASIM)/libcudart.so.13
	$(SIM_LINK)

$(CUDASIM)/libcudnn.so.9: $(CUDNN_SIM) spec/cudasim/cudnn.map $(CUDASIM)/libcudart.so.13
	$(SIM_LINK)

cudasim: $(SIM_SO)

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

cudasim-selftest: $(RUNTIME_TEST)/run
	@$(RUNTIME_TEST)/run

.PHONY: cudasim cudasim-selftest
