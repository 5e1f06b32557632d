#!/bin/sh
# usage: suite.sh BUILD
# Runs the scripts of this folder on simulated GPUs, with the plugin that nvcc built: every op on three
# architectures, in two orders of blocks and warps, under three schedules of the streams; training,
# with and without recorded steps; failures of every call; and the plugin's C under the address and
# undefined-behaviour sanitizers.
# A script ends with "N of N". The last line is the sum, "N passed, N failed". JOBS (2) at a time.
set -u

if [ "${1:-}" = --one ]; then # folder for logs, number, "NAME=value... script argument..."
  logs=$2 number=$3
  shift 3
  start=$(date +%s)
  env $1 CVSIM_COV="$logs/$number.cov" timeout "${TIMEOUT:-300}" sh -c '
    script=$1; shift
    LD_LIBRARY_PATH=$CUDASIM LD_PRELOAD=${SANITIZER:-} exec "$BUILD/convlua" "spec/cuda/$script.lua" "$@"' \
    sh $2 >"$logs/$number.log" 2>&1
  status=$?
  count=$(sed -n 's/^\([0-9]*\) of \([0-9]*\)$/\1 \2/p' "$logs/$number.log" | tail -n 1)
  set -- "$1" "$2" ${count:-0 0}
  good=$3 all=$4 verdict=ok
  if [ $status -ne 0 ] || [ "$all" = 0 ]; then
    verdict=FAIL
    [ "$good" = "$all" ] && all=$((all + 1)) # it said nothing of what is wrong
    grep -v '^ok' "$logs/$number.log" | tail -n "${LINES_SHOWN:-20}"
    [ $status -eq 124 ] && echo "still running after ${TIMEOUT:-300} s"
  fi
  echo "$good $((all - good))" >>"$logs/counts"
  printf '%-4s %-22s %5d of %-5d %4d s  %s\n' $verdict "$2" "$good" "$all" $(($(date +%s) - start)) "$1"
  exit 0
fi

BUILD=$1
CUDASIM=$PWD/$BUILD/cudasim
CONVLUA_CUDA_PLUGIN=$PWD/$BUILD/cudatest/convlua_cuda.so
logs=$BUILD/cudatest/logs
export BUILD CUDASIM CONVLUA_CUDA_PLUGIN
rm -rf "$logs"
mkdir -p "$logs"
find "$BUILD/cudacheck" -name '*.gcda' -exec rm {} +

sanitizer="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
# Leaks of device memory are counted by failures.lua; those of the host, by the sanitizer.
# GCC 12's guesses where the memory of thread-local variables of libraries lies, and may fall over what it finds there.
check="ASAN_OPTIONS=detect_leaks=1:intercept_tls_get_addr=0 SANITIZER=${sanitizer% *}:${sanitizer#* } CONVLUA_CUDA_PLUGIN=$PWD/$BUILD/cudacheck/convlua_cuda.so"

cases() { # the long ones first
  echo "CVSIM_ARCH=80 CVSIM_SCHED=random:80|train resnet18 float64"
  for arch in 90 75 80; do
    echo "CVSIM_ARCH=$arch CVSIM_ORDER=random|train resnet18"
    echo "CVSIM_ARCH=$arch CONVLUA_CUDA_ALLOC=direct|precision"
    for precision in bf16 bf16-full f16; do
      echo "CVSIM_ARCH=$arch|train lenet float32 20 $precision"
    done
  done
  echo "$check CONVLUA_CUDA_ALLOC=direct|failures"
  echo "$check CONVLUA_CUDA_ALLOC=direct|capture"
  echo "$check CONVLUA_SYNC=1|capture rules"
  echo "$check CONVLUA_CUDA_ALLOC=direct|failures bf16-full"
  echo "$check CONVLUA_CUDA_ALLOC=direct|ops"
  echo "$check|sizes"
  for arch in 75 80 90; do
    for order in forward random; do
      for schedule in lazy eager random:1; do
        echo "CVSIM_ARCH=$arch CVSIM_ORDER=$order CVSIM_SCHED=$schedule CONVLUA_CUDA_ALLOC=direct|ops"
        echo "CVSIM_ARCH=$arch CVSIM_ORDER=$order CVSIM_SCHED=$schedule CONVLUA_CUDA_ALLOC=direct|sizes"
      done
      echo "CVSIM_ARCH=$arch CVSIM_ORDER=$order|train lenet"
    echo "CVSIM_ARCH=$arch CVSIM_ORDER=$order CVSIM_SCHED=random:$arch|capture"
    done
  done
  echo "CVSIM_ARCH=80|selftest"
  echo "$check|rest"
  echo "$check CONVLUA_CUDNN=0 CONVLUA_CUBLAS=0|rest"
  echo "CONVLUA_CUDNN=0 CONVLUA_CUBLAS=0 CONVLUA_CUDA_ALLOC=direct|ops"
  echo "CONVLUA_CUDNN=0 CONVLUA_CUBLAS=0 CONVLUA_CUDA_ALLOC=direct|sizes"
  echo "$check|train lenet float32 3"
  echo "$check|devices"
  echo "$check CONVLUA_CUDA_ALLOC=direct|precision"
  echo "$check CONVLUA_CUDNN=0 CONVLUA_CUBLAS=0|precision"
}

cases | awk -F'|' '{printf "%d\n%s\n%s\n", NR, $1, $2}' | tr '\n' '\0' |
  xargs -0 -P "${JOBS:-2}" -n 3 sh "$0" --one "$logs"

set -- $(awk '{p += $1; f += $2} END {print p + 0, f + 0, NR}' "$logs/counts")
lost=$(($(cases | wc -l) - $3))
echo "$1 passed, $(($2 + lost)) failed"
[ $(($2 + lost)) = 0 ]
