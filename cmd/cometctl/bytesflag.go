package main

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// byteSize is the value of a flag that is a number of bytes: 65536, 64KiB, 1MiB, 2GiB or 1TiB.
type byteSize[T int | int64] struct{ v *T }

// bytesVar adds a flag that is a number of bytes.
func bytesVar[T int | int64](f *pflag.FlagSet, v *T, name string, value T, usage string) {
	*v = value
	f.Var(byteSize[T]{v}, name, usage)
}

// wantBytes is what a number of bytes looks like, for an error.
const wantBytes = "a number of bytes, such as 65536, 64KiB, 1MiB or 2GiB"

// byteUnits are in ascending order, each 1024 times the one before.
var byteUnits = [...]string{"KiB", "MiB", "GiB", "TiB"}

var errBytes = errors.New("give " + wantBytes)

func parseBytes(text string) (int64, error) {
	shift := 0
	for i, unit := range byteUnits {
		if number, ok := strings.CutSuffix(text, unit); ok {
			text, shift = number, 10*(i+1)
			break
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > math.MaxInt64>>shift || n < math.MinInt64>>shift || strings.HasPrefix(text, "+") {
		return 0, errBytes
	}
	return n << shift, nil
}

// formatBytes is the shortest text that parseBytes reads as n.
func formatBytes(n int64) string {
	unit := ""
	for _, next := range byteUnits {
		if n == 0 || n%1024 != 0 {
			break
		}
		n, unit = n/1024, next
	}
	return strconv.FormatInt(n, 10) + unit
}

// Set implements pflag.Value.
func (b byteSize[T]) Set(text string) error {
	n, err := parseBytes(text)
	if err != nil || int64(T(n)) != n {
		return errBytes
	}
	*b.v = T(n)
	return nil
}

// String implements pflag.Value.
func (b byteSize[T]) String() string {
	if b.v == nil {
		return "0" // pflag asks a zero one
	}
	return formatBytes(int64(*b.v))
}

// Type implements pflag.Value.
func (byteSize[T]) Type() string { return "bytes" }
