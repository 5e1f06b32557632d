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

cudasim: $(PTX_O)

.PHONY: cudasim cudasim-selftest
