package memlog

import (
	"os"
	"testing"
)

const (
	statText = "4711 (a (nasty) na me) S 1 4711 4711 0 -1 4194560 1035 0 0 0 123 45 0 0 20 0 7 0 98765 1234567 890 18446744073709551615 1 1 0\n"
	snmpText = "Ip: Forwarding DefaultTTL\nIp: 1 64\nTcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs\n" +
		"Tcp: 1 200 120000 -1 117409 113155 4208 5725 21 1358162\nUdp: InDatagrams\nUdp: 0\n"
	slabText = "slabinfo - version: 2.1\n" +
		"# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n" +
		"TCPv6                 26     26   2496   13    8 : tunables    0    0    0 : slabdata      2      2      0\n" +
		"TCPsomething          26     26   2496   13    8 : tunables    0    0    0 : slabdata    200    200      0\n" +
		"filp                 817    945    192   21    1 : tunables    0    0    0 : slabdata     45     45      0\n"
	sockstatText = "sockets: used 15\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 109\nUDP: inuse 0 mem 7\n"
	rollupText   = "00400000-7fff00000000 ---p 00000000 00:00 0    [rollup]\nRss:   1644 kB\nPss:   532 kB\nPss_Dirty:   112 kB\n"
)

func TestParseProc(t *testing.T) {
	st, err := parseProcStat([]byte(statText))
	if want := (procStat{state: 'S', ppid: 1, ticks: 168, threads: 7, start: 98765}); err != nil || st != want {
		t.Errorf("stat: %+v, %v; want %+v", st, err, want)
	}
	counters, err := parseSNMP([]byte(snmpText))
	if want := (tcpCounters{117409, 113155, 21, 1358162}); err != nil || counters != want {
		t.Errorf("snmp: %+v, %v; want %+v", counters, err, want)
	}
	numbers := []struct {
		name string
		want int64
		got  func() (int64, error)
	}{
		{"statm", 411, func() (int64, error) { return parseStatm([]byte("1234 411 9 1 0 2 0\n")) }},
		{"slabinfo", 2*8 + 45, func() (int64, error) { return parseSlabinfo([]byte(slabText)) }},
		{"loadavg", 11206, func() (int64, error) { return parseLastPID([]byte("0.20 0.18 0.12 1/80 11206\n")) }},
		{"sockstat", 109, func() (int64, error) { return parseCounter([]byte(sockstatText), "TCP:", "mem") }},
		{"smaps_rollup", 532, func() (int64, error) { return parseKB([]byte(rollupText), "Pss:") }},
	}
	for _, n := range numbers {
		if got, err := n.got(); err != nil || got != n.want {
			t.Errorf("%s: %d, %v; want %d", n.name, got, err, n.want)
		}
	}
}

func TestParseProcRefuses(t *testing.T) {
	tests := []struct {
		name string
		err  func() error
	}{
		{"empty stat", func() error { _, err := parseProcStat(nil); return err }},
		{"cut stat", func() error { _, err := parseProcStat([]byte(statText[:60])); return err }},
		{"stat of words", func() error {
			_, err := parseProcStat([]byte("1 (x) S a b c d e f g h i j k l m n o p q r"))
			return err
		}},
		{"empty statm", func() error { _, err := parseStatm(nil); return err }},
		{"short loadavg", func() error { _, err := parseLastPID([]byte("0.20 0.18 0.12 1/80\n")); return err }},
		{"no such key", func() error { _, err := parseKB([]byte(rollupText), "RssAnon:"); return err }},
		{"other unit", func() error { _, err := parseKB([]byte("Pss: 5 MB\n"), "Pss:"); return err }},
		{"slabinfo of the future", func() error { _, err := parseSlabinfo([]byte("slabinfo - version: 3.0\n")); return err }},
		{"cut slabinfo", func() error { _, err := parseSlabinfo([]byte(slabText[:len(slabText)-20])); return err }},
		{"no such counter", func() error { _, err := parseCounter([]byte(sockstatText), "TCP:", "memory"); return err }},
		{"snmp without values", func() error {
			_, err := parseSNMP([]byte("Tcp: ActiveOpens PassiveOpens CurrEstab InSegs\n"))
			return err
		}},
		{"snmp without names", func() error { _, err := parseSNMP([]byte("Tcp: 1 2 3 4\nTcp: 1 2 3 4\n")); return err }},
		{"no snmp", func() error { _, err := parseSNMP([]byte("Udp: 1\n")); return err }},
	}
	for _, tt := range tests {
		if err := tt.err(); err != errProc {
			t.Errorf("%s: error %v, want %v", tt.name, err, errProc)
		}
	}
}

func TestZombiesHaveEnded(t *testing.T) {
	for state, ended := range map[byte]bool{'R': false, 'S': false, 'D': false, 'T': false, 'Z': true, 'X': true} {
		if got := (procStat{state: state}).ended(); got != ended {
			t.Errorf("state %c: ended is %t", state, got)
		}
	}
}

func TestProcFileGrowsItsBuffer(t *testing.T) {
	f := openProc("/proc/self/maps")
	defer f.close()
	var buf []byte
	b, err := f.read(&buf)
	if err != nil || len(b) < 1000 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	missing := openProc("/proc/self/nothing")
	if _, err := missing.read(&buf); !os.IsNotExist(err) {
		t.Errorf("missing file: %v", err)
	}
	missing.close()
}

func FuzzProc(f *testing.F) {
	for _, s := range []string{statText, snmpText, slabText, sockstatText, rollupText, "1 2\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(name string, n int64, err error) {
			if err == nil && n < 0 || err != nil && n != NA {
				t.Errorf("%s: %d, %v", name, n, err)
			}
		}
		n, err := parseStatm(b)
		check("statm", n, err)
		n, err = parseKB(b, "Pss:")
		check("kb", n, err)
		n, err = parseCounter(b, "TCP:", "mem")
		check("counter", n, err)
		if n, err = parseSlabinfo(b); n < NA && err == nil {
			t.Errorf("slabinfo: %d", n)
		}
		if c, err := parseSNMP(b); err != nil && c != (tcpCounters{}) || c.currEstab < 0 {
			t.Errorf("snmp: %+v, %v", c, err)
		}
		if st, err := parseProcStat(b); err == nil && (st.threads < 0 || st.start < 0) {
			t.Errorf("stat: %+v", st)
		}
	})
}
