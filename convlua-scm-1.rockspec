rockspec_format = "3.0"
package = "convlua"
version = "scm-1"
source = { url = "git+file://." } -- built where it lies: luarocks --lua-version 5.4 make
description = {
  summary = "A scriptable deep-learning framework: a C core, networks and training loops in Lua",
  detailed = [[
Tensors, layers, automatic differentiation and optimizers as userdata for Lua 5.4, with the
convolution kernels to train image models on a CPU. Installs the module `convlua` and the command
`convlua`. Needs libturbojpeg, libpng, libzip, zlib, libcurl and libedit with their headers.]],
  license = "MIT",
  labels = { "deep-learning", "neural-network", "tensor", "autograd", "vision" },
}
dependencies = { "lua ~> 5.4" }
build = {
  type = "make",
  build_variables = { CFLAGS = "-I$(LUA_INCDIR)" },
  install_variables = {
    PREFIX = "$(PREFIX)",
    BINDIR = "$(BINDIR)",
    LIBDIR = "$(LIBDIR)",
    LUADIR = "$(LUADIR)",
  },
}
