# convlua. `make` builds, `make test` tests, `make train` trains; `make help` lists the rest.

# Settings: change them on the command line (make CC=clang BUILD=build-clang) or in the environment.

BUILD    = build
PREFIX   = /usr/local
DESTDIR  =
LUA      = lua5.4
OPTIMIZE = -O2 -g
SANITIZE =# address (with undefined) or thread
SPEC     = $(sort $(wildcard spec/*_spec.lua))
CUDA     =# 0 leaves the CUDA plugin out, which is made where nvcc is found; 1 demands it
CUDA_ARCHS = 75 80 86 89 90# GPUs that code is made for; newer ones compile from the PTX of the last. native: this machine's
JOBS     = $(shell nproc)

# The packages themselves are listed in scripts/setup.sh.
LIBS     = libturbojpeg libpng libzip zlib
LIBS_CLI = $(LUA) libedit

# END OF SETTINGS ----------------------------------------------------------------------------------

CONVLUA  = $(BUILD)/convlua
GEN      = $(BUILD)/gen

WARN     = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
           -Wno-format-truncation# messages are cut on purpose
FP       = -fno-math-errno -fno-trapping-math
SAN      = $(SAN.$(SANITIZE))
SAN.address = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1
SAN.thread  = -fsanitize=thread -fno-omit-frame-pointer -O1
FLAGS   := -std=c11 -D_GNU_SOURCE $(WARN) $(OPTIMIZE) $(FP) -fPIC -fvisibility=hidden -pthread \
           -Icore -I$(GEN) \
           $(shell pkg-config --cflags $(LIBS) $(LIBS_CLI) libcurl 2>/dev/null) $(CFLAGS)
LINK    := $(LDFLAGS) -pthread -Wl,--as-needed
LINK_SO := $(shell pkg-config --libs $(LIBS) 2>/dev/null) -lm -ldl
LINK_CLI := $(shell pkg-config --libs $(LIBS_CLI) 2>/dev/null) $(LINK_SO)

# One ISA, one set of flags. -std=c11 forbids a*b+c to become one instruction: allowed again here.
ISAS     = baseline $(if $(filter x86_64%,$(shell $(CC) -dumpmachine)),avx2 avx512)
ISA_BF16 = $(if $(filter avx512,$(ISAS)),avx512_bf16)# for kernels with bfloat16 operands only
ISA.baseline = -O3
ISA.avx2     = -O3 -mavx2 -mfma -ffp-contract=fast
ISA.avx512   = -O3 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -ffp-contract=fast \
               -mprefer-vector-width=512 $(if $(SANITIZE),--param asan-use-after-return=0)
ISA.avx512_bf16 = $(ISA.avx512) -mavx512bf16
# The parameter: GCC before 14 puts 64-byte vectors off their boundary there (its bug 110027).

# An op's source is compiled once per element type and ISA, and once for its description.
F32      = $(ISAS:%=f32_%)
INTEGERS = i32 i64 u8
HALVES   = bf16 f16
define VARIANT.f32
VARIANT.f32_$(1) = -DCVL_REAL=float -DCVL_DTYPE_F32 -DCVL_SUFFIX=f32_$(1) $(ISA.$(1))
endef
$(foreach i,$(ISAS),$(eval $(call VARIANT.f32,$(i))))
VARIANT.f64  = -DCVL_REAL=double -DCVL_DTYPE_F64 -DCVL_SUFFIX=f64 -O3
INTEGER      = -O3 -fwrapv -Wno-type-limits -Wno-tautological-compare# x < 0 and x != x in shared formulas
VARIANT.i32  = -DCVL_REAL=int32_t -DCVL_DTYPE_I32 -DCVL_SUFFIX=i32 $(INTEGER)
VARIANT.i64  = -DCVL_REAL=int64_t -DCVL_DTYPE_I64 -DCVL_SUFFIX=i64 $(INTEGER)
VARIANT.u8   = -DCVL_REAL=uint8_t -DCVL_DTYPE_U8 -DCVL_SUFFIX=u8 $(INTEGER)
VARIANT.bf16 = -DCVL_REAL=float -DCVL_DTYPE_BF16 -DCVL_SUFFIX=bf16 -O3
VARIANT.f16  = -DCVL_REAL=float -DCVL_DTYPE_F16 -DCVL_SUFFIX=f16 -O3
VARIANT.describe = -DCVL_DESCRIBE

# Sources, by what is done with them.
OP_C     := $(shell grep -lw CVL_DESCRIBE /dev/null $(wildcard core/ops/*.c))
OP_ANY_C := $(if $(OP_C),$(shell grep -lw CVL_EVERY_DTYPE $(OP_C) /dev/null))
OP_HALF_C := $(if $(OP_C),$(shell grep -lw CVL_HALF $(OP_C) /dev/null))
ISA_C    := $(wildcard core/kernels/*_isa.c)
BF16_C   := $(wildcard core/kernels/*_bf16_isa.c)
BIND_C   := $(wildcard core/bind/*.c)
CORE_C   := $(filter-out $(OP_C) $(ISA_C) core/bind/% core/cli/% core/cuda/% core/dist/%, \
              $(wildcard core/*/*.c))
EMBEDDED := $(sort $(shell find lua models -name '*.lua' 2>/dev/null))
FORMATTED = $(sort $(wildcard core/*.c core/*/*.c core/*/*.h core/*/*.cu core/*/*.cuh spec/support/*.c \
              $(foreach e,h cc cu,spec/cudasim/*.$(e) spec/cudasim/*/*.$(e))))

OP_O     := $(foreach v,$(F32) f64 describe,$(OP_C:core/%.c=$(BUILD)/%.$(v).o)) \
            $(foreach v,$(INTEGERS),$(OP_ANY_C:core/%.c=$(BUILD)/%.$(v).o)) \
            $(foreach v,$(HALVES),$(OP_HALF_C:core/%.c=$(BUILD)/%.$(v).o))
ISA_O    := $(foreach i,$(ISAS),$(ISA_C:core/%.c=$(BUILD)/%.$(i).o)) \
            $(foreach i,$(ISA_BF16),$(BF16_C:core/%.c=$(BUILD)/%.$(i).o))
CORE_O   := $(CORE_C:core/%.c=$(BUILD)/%.o) $(OP_O) $(ISA_O)
BIND_O   := $(BIND_C:core/%.c=$(BUILD)/%.o) $(GEN)/embedded.o
MAIN_O   := $(patsubst core/%.c,$(BUILD)/%.o,core/main.c $(wildcard core/cli/*.c))
LISTS    := $(GEN)/op_list.h $(GEN)/layer_list.h $(GEN)/optim_list.h

all: $(CONVLUA) $(BUILD)/convlua.so # and the CUDA plugin, see core/cuda/cuda.mk

$(CONVLUA): $(MAIN_O) $(BIND_O) $(BUILD)/libconvlua.a
	@echo "  LD convlua"
	@$(CC) $(SAN) $(LINK) -o $@ $(MAIN_O) $(BIND_O) \
	  -Wl,--whole-archive $(BUILD)/libconvlua.a -Wl,--no-whole-archive $(LINK_CLI)

# The module takes the Lua API from the interpreter that loads it.
$(BUILD)/convlua.so: $(BIND_O) $(BUILD)/libconvlua.a
	@echo "  LD convlua.so"
	@$(CC) $(SAN) $(LINK) -shared -o $@ $(BIND_O) \
	  -Wl,--whole-archive $(BUILD)/libconvlua.a -Wl,--no-whole-archive $(LINK_SO)

$(BUILD)/libconvlua.a: $(CORE_O) $(BUILD)/objects
	@echo "  AR libconvlua.a"
	@rm -f $@ && $(AR) rcs $@ $(CORE_O)

COMPILE  = @mkdir -p $(@D) && echo "  CC $(@:$(BUILD)/%=%)" && \
           $(CC) $(FLAGS) $(1) $(SAN) -MMD -MP -c -o $@ $<
NEEDS    = $(BUILD)/flags | $(LISTS) packages

$(BUILD)/%.o: core/%.c $(NEEDS)
	$(call COMPILE)

$(GEN)/embedded.o: $(GEN)/embedded.c $(NEEDS)
	$(call COMPILE)

define ISA_RULE
$(BUILD)/kernels/%_isa.$(1).o: core/kernels/%_isa.c $(NEEDS)
	$$(call COMPILE,-DCVL_ISA_SUFFIX=_$(1) $(ISA.$(1)))
endef
$(foreach i,$(ISAS) $(ISA_BF16),$(eval $(call ISA_RULE,$(i))))

define VARIANT_RULE
$(BUILD)/ops/%.$(1).o: core/ops/%.c $(NEEDS)
	$$(call COMPILE,$(VARIANT.$(1)))
endef
$(foreach v,$(F32) f64 $(HALVES) $(INTEGERS) describe,$(eval $(call VARIANT_RULE,$(v))))

# Made anew by every run of make, but touched only when the contents change.
UPDATE   = mkdir -p $(@D) && cat > $@.new && \
           if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(BUILD)/flags: FORCE
	@echo '$(CC) $(FLAGS) $(SAN) $(foreach i,$(ISAS) $(ISA_BF16),$(ISA.$(i)))' | { $(UPDATE); }

$(BUILD)/objects: FORCE # a source that is gone must leave the library too
	@echo '$(CORE_O)' | { $(UPDATE); }

$(GEN)/op_list.h: FORCE
	@sed -n 's/^CVL_OP(\([A-Za-z0-9_]*\).*/X(\1)/p' $(OP_C) /dev/null | LC_ALL=C sort | { $(UPDATE); }

$(GEN)/layer_list.h: FORCE
	@sed -n 's/^CVL_LAYER(\([A-Za-z0-9_]*\).*/X(\1)/p' $(sort $(wildcard core/layers/*.c)) \
	  /dev/null | LC_ALL=C sort | { $(UPDATE); }

$(GEN)/optim_list.h: FORCE
	@sed -n 's/^CVL_OPTIM(\([A-Za-z0-9_]*\).*/X(\1)/p' $(sort $(wildcard core/optim/*.c)) \
	  /dev/null | LC_ALL=C sort | { $(UPDATE); }

$(GEN)/embedded.c: scripts/embed.sh $(EMBEDDED) FORCE
	@sh scripts/embed.sh $(EMBEDDED) | { $(UPDATE); }

packages:
	@sh scripts/setup.sh --check build

include core/cuda/cuda.mk
include spec/cudasim/cudasim.mk
include spec/cuda/cuda_test.mk

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# Using it ------------------------------------------------------------------------------------------

setup:
	@sh scripts/setup.sh build test lint

train:
	@sh scripts/setup.sh build
	@$(MAKE) -s -j$(JOBS) all
	$(CONVLUA) scripts/train_cifar.lua $(ARGS)

bench: all
	$(CONVLUA) scripts/bench.lua $(ARGS)

docs: all
	$(CONVLUA) -e 'require("convlua.reference").write("docs")'

# Checking it ---------------------------------------------------------------------------------------

test:
	@sh scripts/setup.sh build test
	@$(MAKE) -s -j$(JOBS) all
	@echo 'not tested here: the CUDA plugin, $(if $(NVCC),which make cuda-test runs on a simulated GPU,since there is no nvcc)'
	@JOBS=$(JOBS) sh spec/support/suite.sh $(CONVLUA) $(SPEC)

lint:
	@clang-format --dry-run -Werror $(FORMATTED)
	@luacheck -q lua models scripts spec
	@$(MAKE) -s -j$(JOBS) all
	@sh spec/support/suite.sh $(CONVLUA) spec/architecture_spec.lua

# A descriptor ends with ");": only then clang-format leaves its layout alone.
format:
	perl -0pi -e 's/^(CVL_(?:OP|LAYER|OPTIM)(\((?:[^()"]|"(?:[^"\\]|\\.)*"|(?2))*\)))(?!;)/$$1;/mg' \
	  $(wildcard core/ops/*.c core/layers/*.c core/optim/*.c)
	clang-format -i $(FORMATTED)

sanitize:
	@FUZZ_CALLS=100000 ASAN_OPTIONS=allocator_may_return_null=1:detect_stack_use_after_return=1 \
	  $(MAKE) -s test BUILD=build-asan SANITIZE=address SPEC="$(SPEC)"

# What runs on several threads at once.
tsan:
	@$(MAKE) -s test BUILD=build-tsan SANITIZE=thread \
	  SPEC="$(wildcard $(addprefix spec/,$(addsuffix _spec.lua,threads loader data checkpoint)))"

# Handing it on -------------------------------------------------------------------------------------

LUA_VERSION = 5.4
BINDIR   = $(PREFIX)/bin
LIBDIR   = $(PREFIX)/lib/lua/$(LUA_VERSION)# Lua modules written in C
DATADIR  = $(PREFIX)/share/convlua
DEVDIR   = $(PREFIX)/lib# libconvlua.a and its convlua.pc, for C programs
INCDIR   = $(PREFIX)/include/convlua

install: all $(BUILD)/convlua.pc
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR) $(DESTDIR)$(DATADIR)/scripts \
	  $(DESTDIR)$(DEVDIR)/pkgconfig $(HEADERS:%=$(DESTDIR)$(INCDIR)/%)
	install -m 755 -s $(CONVLUA) $(DESTDIR)$(BINDIR)/convlua
	install -m 644 -s $(BUILD)/convlua.so $(DESTDIR)$(LIBDIR)/convlua.so
	[ ! -f $(BUILD)/convlua_cuda.so ] || \
	  install -m 644 -s $(BUILD)/convlua_cuda.so $(DESTDIR)$(LIBDIR)/convlua_cuda.so
	install -m 644 $(wildcard scripts/*.lua scripts/*.py) $(DESTDIR)$(DATADIR)/scripts
	install -d $(DESTDIR)$(DATADIR)/scripts/bench
	install -m 644 $(wildcard scripts/bench/*.lua) $(DESTDIR)$(DATADIR)/scripts/bench
	install -m 644 $(BUILD)/libconvlua.a $(DESTDIR)$(DEVDIR)/libconvlua.a
	install -m 644 $(BUILD)/convlua.pc $(DESTDIR)$(DEVDIR)/pkgconfig/convlua.pc
	for d in $(HEADERS); do install -m 644 core/$$d/*.h $(DESTDIR)$(INCDIR)/$$d || exit 1; done

uninstall:
	rm -f $(DESTDIR)$(BINDIR)/convlua $(DESTDIR)$(LIBDIR)/convlua.so $(DESTDIR)$(LIBDIR)/convlua_cuda.so
	rm -f $(DESTDIR)$(DEVDIR)/libconvlua.a $(DESTDIR)$(DEVDIR)/pkgconfig/convlua.pc
	rm -rf $(DESTDIR)$(DATADIR) $(DESTDIR)$(INCDIR)

# The rooms whose headers a C program may include.
HEADERS = $(filter-out bind cli cuda dist,$(notdir $(patsubst %/,%,$(sort $(dir $(wildcard core/*/*.h))))))

$(BUILD)/convlua.pc: FORCE
	@printf '%s\n' 'Name: convlua' 'Description: tensors, layers, automatic differentiation' \
	  'Version: 0' 'Requires.private: $(LIBS)' 'Cflags: -I$(INCDIR)' \
	  'Libs: -L$(DEVDIR) -Wl,--whole-archive -lconvlua -Wl,--no-whole-archive -pthread -lm -ldl' \
	  | { $(UPDATE); }

clean:
	rm -rf build build-asan build-tsan $(filter build%,$(BUILD))

help:
	@echo 'make            build/convlua and build/convlua.so, without touching the system'
	@echo 'make setup      install the packages that are missing (apt)'
	@echo 'make train      set up, build, train ResNet18 on CIFAR-10; ARGS="--epochs 3" and so on'
	@echo 'make cuda       build/convlua_cuda.so, the CUDA plugin; make alone makes it too where nvcc is found; CUDA=0 does not'
	@echo 'make test       set up, build, run every spec; SPEC=spec/foo_spec.lua for one'
	@echo 'make sanitize   the specs under the address and undefined-behaviour sanitizers'
	@echo 'make tsan       the specs of what is threaded, under the thread sanitizer'
	@echo 'make cuda-test  the CUDA plugin on simulated GPUs, where nvcc is found'
	@echo 'make cuda-build   what the compiler says of the plugin: no warning, no register spilled; it loads'
	@echo 'make cuda-accept  cuDNN, without a GPU, plans every convolution of every model for five GPUs'
	@echo 'make lint       formatting, luacheck, architecture; make format repairs the first'
	@echo 'make bench      the machine's limits, kernels, training steps, inference, overhead'
	@echo 'make docs       the reference, from the descriptors'
	@echo 'make install    PREFIX=/usr/local DESTDIR=; make uninstall; make clean'

.PHONY: all packages setup train bench docs test lint format sanitize tsan install uninstall \
        clean help FORCE
.DELETE_ON_ERROR:
