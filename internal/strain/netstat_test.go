package strain

import "testing"

const someNetstat = `TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPSynRetrans TCPOrigDataSent
TcpExt: 1 502669 502670 708078 9
IpExt: ListenOverflows InOctets
IpExt: 7 8
`

var netstatTests = []struct {
	text string
	want Kernel
}{
	{someNetstat, Kernel{708078, 502669, 502670}},
	{"", Kernel{}},
	{"TcpExt: ListenDrops\n", Kernel{}},
	{"TcpExt: ListenDrops A\nTcpExt: 5\n", Kernel{0, 0, 5}},
	{"TcpExt: ListenDrops\nTcpExt: -5\n", Kernel{}},
	{"TcpExt: ListenDrops\nTcpExt: x 5\n", Kernel{}},
	{"IpExt: ListenDrops\nIpExt: 5\n", Kernel{}},
}

func TestNetstat(t *testing.T) {
	for _, c := range netstatTests {
		if got := netstat([]byte(c.text)); got != c.want {
			t.Errorf("%q: %+v, want %+v", c.text, got, c.want)
		}
	}
}

func FuzzNetstat(f *testing.F) {
	for _, c := range netstatTests {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if k := netstat(b); k.SynRetrans < 0 || k.ListenOverflows < 0 || k.ListenDrops < 0 {
			t.Errorf("%q: %+v", b, k)
		}
	})
}
