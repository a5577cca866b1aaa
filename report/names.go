package report

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ShortNames shortens file names to what tells them apart, for a legend: "a/mochimem.log" and "b/mochimem.log" become "a"
// and "b", "before.log" and "after.log" become "before" and "after". "-" becomes "stdin". Names that are the same are
// numbered. One name alone keeps its last part.
func ShortNames(files []string) []string {
	if len(files) == 0 {
		return nil
	}
	paths := make([][]string, len(files))
	for i, f := range files {
		if f == "-" {
			f = "stdin"
		}
		paths[i] = strings.Split(filepath.ToSlash(filepath.Clean(f)), "/")
	}
	shortest := len(slices.MinFunc(paths, func(a, b []string) int { return len(a) - len(b) }))
	same := func(at func(p []string) string) bool {
		return !slices.ContainsFunc(paths, func(p []string) bool { return at(p) != at(paths[0]) })
	}
	head, tail := 0, 0 // parts that all share, and that leave at least one part of each
	for head < shortest-1 && same(func(p []string) string { return p[head] }) {
		head++
	}
	for head+tail < shortest-1 && same(func(p []string) string { return p[len(p)-1-tail] }) {
		tail++
	}

	names := make([]string, len(files))
	seen := make(map[string]int)
	for i, p := range paths {
		name := strings.Join(p[head:len(p)-tail], "/")
		if tail == 0 {
			name = strings.TrimSuffix(name, ".log")
		}
		seen[name]++
		if n := seen[name]; n > 1 {
			name += " (" + strconv.Itoa(n) + ")"
		}
		names[i] = name
	}
	return names
}
