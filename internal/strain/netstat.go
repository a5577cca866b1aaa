package strain

import (
	"bytes"
	"strconv"
)

// netstat reads the counters of /proc/net/netstat that matter here. Each protocol has two lines that begin with its name, one with the
// counters' names and one with their values. What is not there stays zero.
func netstat(b []byte) (k Kernel) {
	var names [][]byte
	for line := range bytes.Lines(b) {
		fields := bytes.Fields(line)
		if len(fields) == 0 || string(fields[0]) != "TcpExt:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names[:min(len(names), len(fields))] {
			var to *int64
			switch string(name) {
			case "TCPSynRetrans":
				to = &k.SynRetrans
			case "ListenOverflows":
				to = &k.ListenOverflows
			case "ListenDrops":
				to = &k.ListenDrops
			default:
				continue
			}
			if n, err := strconv.ParseInt(string(fields[i]), 10, 64); err == nil && n >= 0 {
				*to = n
			}
		}
		return k
	}
	return k
}
