# The CUDA plugin. An op's source that says CVL_EVERY_DEVICE, and a .cu file with CVL_KERNELS in it, is compiled once per
# element type, as for the CPU; other .cu files once.

NVCC     := $(firstword $(shell command -v nvcc 2>/dev/null) $(wildcard /usr/local/cuda/bin/nvcc))
CUDA_DIR := $(patsubst %/bin/nvcc,%,$(realpath $(NVCC)))
CUDA_GENCODE = $(if $(filter native,$(CUDA_ARCHS)),-arch=native,$(CUDA_GENCODE_ALL))
CUDA_GENCODE_ALL = $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
               -gencode arch=compute_$(lastword $(CUDA_ARCHS)),code=compute_$(lastword $(CUDA_ARCHS))
# What the simulator of spec/cudasim reads.
CUDA_TEST_GENCODE = $(foreach a,75 80 90,-gencode arch=compute_$(a),code=compute_$(a))

# Not under a sanitizer: nvcc does not take it, and a C file's checks are in spec/cuda/cuda_test.mk.
CUDA_LEFT_OUT := $(if $(filter 0,$(CUDA)),CUDA=0,$(if $(SANITIZE),SANITIZE=$(SANITIZE),$(if $(NVCC)$(filter 1,$(CUDA)),,there is no nvcc)))

# The compiler's own warnings are for C and are left to gcc; nvcc's host code is checked with -Wall.
NVCC_FLAGS = -std=c++17 -O3 -lineinfo --compress-mode=none -Xptxas -v,-warn-spills -Xcudafe --diag_error=20012 \
             -Werror all-warnings -Icore -I$(GEN) \
             -Xcompiler -O1,-fPIC,-fvisibility=hidden,-fno-strict-aliasing,-Wall,-Wno-unused-function,-Wno-tautological-compare,-D_GNU_SOURCE
CUDA_VARIANT.f32 = -DCVL_REAL=float -DCVL_DTYPE_F32 -DCVL_SUFFIX=f32
CUDA_VARIANT.f64 = -DCVL_REAL=double -DCVL_DTYPE_F64 -DCVL_SUFFIX=f64
CUDA_VARIANT.bf16 = -DCVL_REAL=float -DCVL_DTYPE_BF16 -DCVL_SUFFIX=bf16
CUDA_VARIANT.f16 = -DCVL_REAL=float -DCVL_DTYPE_F16 -DCVL_SUFFIX=f16
CUDA_VARIANT.i32 = -DCVL_REAL=int32_t -DCVL_DTYPE_I32 -DCVL_SUFFIX=i32
CUDA_VARIANT.i64 = -DCVL_REAL=int64_t -DCVL_DTYPE_I64 -DCVL_SUFFIX=i64
CUDA_VARIANT.u8  = -DCVL_REAL=uint8_t -DCVL_DTYPE_U8 -DCVL_SUFFIX=u8 -diag-suppress 186

CUDA_C     := $(wildcard core/cuda/*.c)
CUDA_CU    := $(wildcard core/cuda/*.cu)
CUDA_OP_C  := $(shell grep -lw CVL_EVERY_DEVICE /dev/null $(OP_C))
CUDA_TYPED := $(if $(CUDA_CU),$(shell grep -lw CVL_KERNELS $(CUDA_CU) /dev/null)) $(CUDA_OP_C)
CUDA_ANY   := $(shell grep -lw CVL_EVERY_DTYPE /dev/null $(CUDA_TYPED))
CUDA_HALF  := $(shell grep -lw CVL_HALF /dev/null $(CUDA_TYPED))
# The core's code without state: the same objects as the program's (device.h says why).
CUDA_CORE  := base/err tensor/dtype tensor/shape tensor/storage tensor/tensor tensor/loop \
              ops/reduce_axes ops/position ops/window ops/geometry

CUDA_NAMES := $(CUDA_C:core/%.c=%) \
              $(patsubst core/%.cu,%,$(filter-out $(CUDA_TYPED),$(CUDA_CU))) \
              $(foreach v,f32 f64,$(patsubst core/%,%.$(v),$(basename $(CUDA_TYPED)))) \
              $(foreach v,$(INTEGERS),$(patsubst core/%,%.$(v),$(basename $(CUDA_ANY)))) \
              $(foreach v,$(HALVES),$(patsubst core/%,%.$(v),$(basename $(CUDA_HALF))))
CUDA_O      = $(CUDA_NAMES:%=$(BUILD)/nvcc/%.o) $(CUDA_CORE:%=$(BUILD)/%.o)
CUDA_TEST_O = $(CUDA_NAMES:%=$(BUILD)/cudatest/%.o) $(CUDA_CORE:%=$(BUILD)/%.o)

all: $(if $(CUDA_LEFT_OUT),no-cuda,cuda)

cuda: $(BUILD)/convlua_cuda.so
	@:

no-cuda:
	@echo "  without convlua_cuda.so: $(CUDA_LEFT_OUT)"

# Linked by gcc: cudart is in it, cuBLAS and cuDNN are looked for when they are needed.
CUDA_LINK = $(CC) $(SAN) $(LINK) -shared -Wl,-z,defs -o $@ $^ -L$(CUDA_DIR)/lib64 $(1) -lstdc++ -lm -ldl -lpthread -lrt

ifeq ($(NVCC),)
$(BUILD)/convlua_cuda.so:
	@echo 'the CUDA plugin is made by nvcc, which is neither in PATH nor in /usr/local/cuda/bin' >&2
	@exit 1
else
$(BUILD)/convlua_cuda.so: $(CUDA_O)
	@echo "  LD convlua_cuda.so"
	@$(call CUDA_LINK,-lcudart_static)
endif

# The same for tests: with the runtime as a library of its own, under which the simulator can be put.
$(BUILD)/cudatest/convlua_cuda.so: $(CUDA_TEST_O)
	@echo "  LD cudatest/convlua_cuda.so"
	@$(call CUDA_LINK,-lcudart)

# $(1) folder, $(2) where code is made for
define CUDA_RULES
$(BUILD)/$(1)/cuda/%.o: core/cuda/%.c $(BUILD)/flags $(BUILD)/$(1)/flags | $(LISTS) packages
	$$(call COMPILE,-isystem $(CUDA_DIR)/include)
$(BUILD)/$(1)/cuda/%.o: core/cuda/%.cu $(BUILD)/$(1)/flags | $(LISTS)
	$$(call CUDA_COMPILE,$$($(2)),)
$(BUILD)/$(1)/flags: FORCE
	@echo '$(NVCC) $(NVCC_FLAGS) $($(2))' | { $$(UPDATE); }
$(foreach v,f32 f64 $(HALVES) $(INTEGERS),
$(BUILD)/$(1)/cuda/%.$(v).o: core/cuda/%.cu $(BUILD)/$(1)/flags | $(LISTS)
	$$(call CUDA_COMPILE,$$($(2)),$(CUDA_VARIANT.$(v)))
$(BUILD)/$(1)/ops/%.$(v).o: core/ops/%.c $(BUILD)/$(1)/flags | $(LISTS)
	$$(call CUDA_COMPILE,$$($(2)),$(CUDA_VARIANT.$(v)) -include cuda/elementwise.cuh -x cu)
)
endef

# What ptxas tells of every kernel, its registers and what it spills of them, is kept beside the object.
CUDA_COMPILE = @mkdir -p $(@D) && echo "  NVCC $(@:$(BUILD)/%=%)" && \
  if $(filter ccache,$(CC)) $(NVCC) $(NVCC_FLAGS) $(1) $(2) -MMD -MP -MF $(@:.o=.d) -c -o $@ $< >$(@:.o=.ptxas) 2>&1; \
  then grep -v '^ptxas info\|^ *[0-9]* bytes stack frame' $(@:.o=.ptxas) >&2 || :; \
  else cat $(@:.o=.ptxas) >&2; rm -f $@; exit 1; fi

$(eval $(call CUDA_RULES,nvcc,CUDA_GENCODE))
$(eval $(call CUDA_RULES,cudatest,CUDA_TEST_GENCODE))

.PHONY: cuda no-cuda
