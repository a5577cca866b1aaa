package memlog

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// runPortProgram does what the kernel's inet_diag_bc_run does.
func runPortProgram(b []byte, port uint16) bool {
	ne := binary.NativeEndian
	left := len(b)
	for at := 0; left > 0; {
		op, yes := b[at:], true
		switch op[0] {
		case opJump:
			yes = false
		case opGE:
			yes = port >= ne.Uint16(op[6:])
		case opLE:
			yes = port <= ne.Uint16(op[6:])
		}
		step := int(ne.Uint16(op[2:]))
		if yes {
			step = int(op[1])
		}
		at, left = at+step, left-step
	}
	return left == 0
}

// auditPortProgram does what the kernel's inet_diag_bc_audit does with the operations that we use.
func auditPortProgram(b []byte) bool {
	ne := binary.NativeEndian
	onChain := map[int]bool{} // how much is left at each operation that yes leads to, and at the end
	for at := 0; at < len(b); at += int(b[at+1]) {
		onChain[len(b)-at] = true
		if b[at+1] == 0 {
			return false
		}
	}
	onChain[0] = true
	at := 0
	for left := len(b); left > 0; {
		op, least := b[at:], 4
		if op[0] != opJump {
			least = compareLen
		}
		if len(op) < least {
			return false
		}
		no, yes := int(ne.Uint16(op[2:])), int(op[1])
		if no < least || no > left+4 || no%4 != 0 || no < left && !onChain[left-no] {
			return false
		}
		if yes < least || yes > left+4 || yes%4 != 0 {
			return false
		}
		at, left = at+yes, left-yes
		if left < 0 {
			return false
		}
	}
	return true
}

func checkPortProgram(t *testing.T, ports []uint16, also ...uint16) {
	t.Helper()
	b := appendPortProgram(nil, ports, 0)
	if len(b) != portProgramLen(len(ports)) || !auditPortProgram(b) {
		t.Fatalf("%v: the kernel would refuse %d bytes, planned %d: % x", ports, len(b), portProgramLen(len(ports)), b)
	}
	for _, p := range ports {
		also = append(also, p-1, p, p+1)
	}
	for _, p := range also {
		if got, want := runPortProgram(b, p), slices.Contains(ports, p); got != want {
			t.Fatalf("%v: port %d is accepted: %t", ports, p, got)
		}
	}
}

func TestPortProgram(t *testing.T) {
	checkPortProgram(t, []uint16{80}, 0, 65535)
	checkPortProgram(t, []uint16{0, 65535}, 1, 443)
	checkPortProgram(t, []uint16{80, 81, 82, 443, 8000})
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{53, maxDiagPorts} {
		ports := make([]uint16, n)
		for i := range ports {
			ports[i] = uint16(rnd.IntN(1 << 16))
		}
		slices.Sort(ports)
		checkPortProgram(t, slices.Compact(ports), 0, 65535)
	}
	if n := len(appendDiagRequest(nil, 1, 2, make([]uint16, maxDiagPorts))); n > 1<<16 {
		t.Errorf("a request of %d bytes", n)
	}
	if n := len(appendDiagRequest(nil, 1, 2, make([]uint16, maxDiagPorts+1))); n != diagRequestLen {
		t.Errorf("too many ports make a request of %d bytes", n)
	}
}

// The kernel itself takes programs, and runs them as we think.
func TestPortProgramInTheKernel(t *testing.T) {
	show := newPuppetShow(t)
	root := show.start(t)
	var ports []uint16
	for i := range 30 {
		port := root.do("listen 0")
		dial(t, root, port, 1+i%3)
		ports = append(ports, uint16(port))
	}
	slices.Sort(ports)
	diag, err := openSockDiag()
	if err != nil {
		t.Fatal(err)
	}
	defer diag.close()
	for _, only := range [][]uint16{ports, ports[:2], ports[7:8], {1, 2, ports[3]}} {
		seen := map[uint16]int{}
		if err := diag.dump(stateEstablished, only, func(s diagSocket) { seen[s.local.port]++ }); err != nil {
			t.Fatal(err)
		}
		for port, n := range seen {
			if !slices.Contains(only, port) || n < 1 || n > 3 {
				t.Errorf("asked for %v and got %d on %d", only, n, port)
			}
		}
		for _, port := range only {
			if port > 2 && seen[port] == 0 {
				t.Errorf("asked for %v and got none on %d", only, port)
			}
		}
	}
}

func FuzzPortProgram(f *testing.F) {
	f.Add([]byte{0, 80, 1, 187}, uint16(443))
	f.Fuzz(func(t *testing.T, b []byte, also uint16) {
		var ports []uint16
		for ; len(b) >= 2 && len(ports) < maxDiagPorts; b = b[2:] {
			ports = append(ports, binary.BigEndian.Uint16(b))
		}
		if slices.Sort(ports); len(ports) > 0 {
			checkPortProgram(t, slices.Compact(ports), also)
		}
	})
}
