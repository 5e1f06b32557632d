#!/bin/sh
# The packages that convlua needs, and how to get them.
#   setup.sh GROUP...          installs what is missing with apt; silent when all is there
#   setup.sh --check GROUP...  only says what is missing and which command installs it
# Groups: build (to compile and run), test (to run the specs), lint (to check style).
set -eu

# group, Debian package, how to find out whether it is there (any distribution's package will do)
packages='
build  gcc                   compiler cc
build  libc6-dev             header stdio.h
build  make                  command make
build  pkg-config            command pkg-config
build  liblua5.4-dev         library lua5.4
build  libedit-dev           library libedit
build  libturbojpeg0-dev     library libturbojpeg
build  libpng-dev            library libpng
build  libzip-dev            library libzip
build  zlib1g-dev            library zlib
build  libcurl4-openssl-dev  library libcurl
build  libopenblas0          shared libopenblas.so.0
build  ca-certificates       file /etc/ssl/certs/ca-certificates.crt
test   lua5.4                command lua5.4
test   lua-busted            luamodule busted.runner
test   python3-numpy         pymodule numpy
test   strace                command strace
lint   clang-format          command clang-format
lint   lua-check             command luacheck
'

cc=${CC:-cc}

present() { # kind, name
  case $1 in
    compiler)  command -v "${cc##* }" ;; # CC may be "ccache gcc"
    command)   command -v "$2" ;;
    header)    echo "#include <$2>" | $cc -E - ;;
    library)   pkg-config --exists "$2" ;;
    shared)    /sbin/ldconfig -p | grep -F "$2" ;;
    file)      [ -e "$2" ] ;;
    luamodule) lua5.4 -e "require '$2'" ;;
    pymodule)  /usr/bin/python3 -c "import $2" ;;
  esac >/dev/null 2>&1
}

check=no
[ "${1:-}" = --check ] && { check=yes; shift; }

missing=
for group; do
  while read -r of package kind name; do
    [ "$of" = "$group" ] || continue
    present "$kind" "$name" || missing="$missing $package"
  done <<END
$packages
END
done
missing=${missing# }
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then root=; else root='sudo '; fi
install="${root}apt-get install -y --no-install-recommends $missing"

if [ $check = yes ]; then
  {
    echo "convlua: not found on this machine: $missing"
    echo "install with:  $install"
    echo "or let it be done for you:  make setup"
  } >&2
  exit 1
fi

if ! command -v apt-get >/dev/null; then
  echo "convlua: there is no apt-get here; install what Debian calls: $missing" >&2
  exit 1
fi
if [ -n "$root" ] && ! command -v sudo >/dev/null; then
  echo "convlua: neither root nor sudo here; run as root:  apt-get install $missing" >&2
  exit 1
fi
echo "convlua: installing $missing"
export DEBIAN_FRONTEND=noninteractive
$install >/dev/null 2>&1 || {
  echo "convlua: refreshing the package lists first"
  ${root}apt-get update -q >/dev/null
  $install
}
