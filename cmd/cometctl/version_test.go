package main

import (
	"runtime/debug"
	"testing"
)

func TestVersionOf(t *testing.T) {
	setting := func(k, v string) debug.BuildSetting { return debug.BuildSetting{Key: k, Value: v} }
	for _, c := range []struct {
		info debug.BuildInfo
		want string
	}{
		{debug.BuildInfo{}, "(devel) go1.26 linux/amd64"},
		{debug.BuildInfo{Main: debug.Module{Version: "v0.1.0"}}, "v0.1.0 go1.26 linux/amd64"},
		{debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{
			setting("GOARCH", "amd64"), setting("vcs.revision", "6d35e6d"),
			setting("vcs.time", "2025-11-22T09:26:00Z"), setting("vcs.modified", "true")}},
			"(devel) (revision 6d35e6d, 2025-11-22T09:26:00Z, modified) go1.26 linux/amd64"},
		{debug.BuildInfo{Settings: []debug.BuildSetting{
			setting("vcs.revision", "6d35e6d"), setting("vcs.modified", "false")}},
			"(devel) (revision 6d35e6d) go1.26 linux/amd64"},
	} {
		if got := versionOf(&c.info, "go1.26", "linux/amd64"); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
