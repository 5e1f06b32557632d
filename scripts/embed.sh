#!/bin/sh
# The Lua sources given, as C: the array cvl_embedded of {module name, file, bytes, size}, ended by
# a NULL name. lua/convlua/nn.lua is the module "convlua.nn", lua/convlua/init.lua "convlua",
# models/lenet.lua "models.lenet".
set -eu
echo '#include <stddef.h>'
echo
echo 'extern const struct cvl_source {'
echo '  const char *name, *file;'
echo '  const unsigned char *data;'
echo '  size_t size;'
echo '} cvl_embedded[];'
i=0
for file; do
  i=$((i + 1))
  echo "static const unsigned char source_$i[] = {"
  od -An -v -tx1 "$file" | sed 's/ \(..\)/0x\1,/g'
  echo '0};'
done
echo 'const struct cvl_source cvl_embedded[] = {'
i=0
for file; do
  i=$((i + 1))
  name=$(echo "${file#lua/}" | sed 's/\.lua$//; s/\/init$//; s/\//./g')
  echo "  {\"$name\", \"$file\", source_$i, sizeof source_$i - 1},"
done
echo '  {NULL, NULL, NULL, 0}'
echo '};'
