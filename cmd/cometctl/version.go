package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// version says what was built, from what, with what and for what, as far as the
// build recorded it: `v0.1.0 (revision 6d35e6d..., modified) go1.26.8 linux/amd64`.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return versionOf(info, runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
}

func versionOf(info *debug.BuildInfo, goVersion, platform string) string {
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	var source []string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			source = append(source, "revision "+s.Value)
		case s.Key == "vcs.time":
			source = append(source, s.Value)
		case s.Key == "vcs.modified" && s.Value == "true":
			source = append(source, "modified")
		}
	}
	if len(source) > 0 {
		v += " (" + strings.Join(source, ", ") + ")"
	}
	return fmt.Sprintf("%s %s %s", v, goVersion, platform)
}
