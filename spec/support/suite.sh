#!/bin/sh
# usage: suite.sh CONVLUA SPEC...
# Runs each spec file in a process of its own, so that a crash costs one file; JOBS (2) at a time.
# Ends with "N passed, N failed" (and ", N skipped") alone on a line; status 1 when any failed.
# TIMEOUT: seconds that one file may take. VERBOSE=1: every test is named.
# The specs find the build folder in BUILD.
set -u

if [ "${1:-}" = --one ]; then # convlua, counts, spec: one file; its output appears at once when it is done
  convlua=$2 counts=$3 spec=$4
  log=$(mktemp)
  start=$(date +%s%N)
  timeout -k 5 "${TIMEOUT:-900}" "$convlua" spec/support/run.lua "$spec" >"$log" 2>&1 </dev/null
  rc=$?
  ms=$((($(date +%s%N) - start) / 1000000))
  line=$(grep -a '^passed [0-9]* failed [0-9]* skipped [0-9]*$' "$log" | tail -n 1)
  set -- $line
  passed=${2:-0} failed=${4:-0} skipped=${6:-0}
  verdict=
  if [ -z "$line" ]; then
    case $rc in
      124 | 137) verdict="still running after ${TIMEOUT:-900} s" ;;
      *) verdict="ended before its tests did, status $rc" ;;
    esac
  elif [ $rc -ne 0 ] && [ "$failed" = 0 ]; then
    verdict="all tests passed, but the status is $rc"
  elif [ $((passed + failed + skipped)) = 0 ]; then
    verdict="has no tests"
  fi
  [ -n "$verdict" ] && failed=$((failed + 1))
  echo "$passed $failed $skipped" >>"$counts"
  {
    if [ "$failed" != 0 ] || [ -n "${VERBOSE:-}" ]; then
      grep -av '^passed [0-9]* failed [0-9]* skipped [0-9]*$' "$log"
      [ -n "$verdict" ] && echo "CRASH  $spec: $verdict"
    fi
    printf '%-36s %5d passed %3d failed %3d skipped %4d.%03d s\n' \
      "$spec" "$passed" "$failed" "$skipped" $((ms / 1000)) $((ms % 1000))
  } >"$log.all"
  cat "$log.all"
  rm -f "$log" "$log.all"
  exit 0
fi

convlua=$1
shift
BUILD=$(dirname "$convlua")
export BUILD
counts=$(mktemp)
trap 'rm -f "$counts"' EXIT
[ $# -gt 0 ] && printf '%s\n' "$@" | xargs -P "${JOBS:-2}" -n 1 sh "$0" --one "$convlua" "$counts"
files=$(wc -l <"$counts")
set -- $(awk '{p += $1; f += $2; s += $3} END {print p + 0, f + 0, s + 0}' "$counts") $#
failed=$(($2 + $4 - files)) # a file that left no counts has failed
if [ "$3" = 0 ]; then echo "$1 passed, $failed failed"; else echo "$1 passed, $failed failed, $3 skipped"; fi
[ "$failed" = 0 ]
