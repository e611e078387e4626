# data_symbols_test.sh PROGRAM [NM]: no two of the shared libraries that a program loads define the same data. The dynamic
# linker makes one object of two such, whatever their sizes, and each library writes over the other's.
set -euo pipefail
libraries=$(ldd "$1" | sed -n 's/.* => \(\/[^ ]*\).*/\1/p' | sort -u)
[ -n "$libraries" ] || { echo "ldd names no libraries of $1"; exit 1; }
twice=$(for library in $libraries; do
  # B, D, G, R, S: data, not weak; a version (@) is a part of the name
  "${2:-nm}" -D --defined-only "$library" | awk -v library="$library" '$2 ~ /^[BDGRS]$/ {print $3, library}'
done | sort -u | awk '$1 == last {print $1 ": " first " and " $2} {last = $1; first = $2}')
[ -z "$twice" ] || { echo "defined in two libraries:"; echo "$twice"; exit 1; }
