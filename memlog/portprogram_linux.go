package memlog

import "encoding/binary"

// A port program asks the kernel for the sockets on one of many local ports in one walk through
// its socket table. It is inet_diag bytecode (struct inet_diag_bc_op of linux/inet_diag.h; what
// is accepted stands in inet_diag_bc_audit, what it does in inet_diag_bc_run, net/ipv4/inet_diag.c):
// operations of four bytes, {code, yes, no}, that jump ahead by so many bytes. A comparison
// takes a second operation, whose third field is the port. The program accepts by jumping to its
// end and rejects by jumping four bytes beyond. The auditor demands that every operation is
// reached from the first by yes alone, so yes always leads to the next one.
//
// It is a binary search, so that a socket costs some ten operations and not two for each port.
const (
	opJump = 1 // INET_DIAG_BC_JMP: always no
	opGE   = 2 // INET_DIAG_BC_S_GE: is the local port at least this?
	opLE   = 3 // INET_DIAG_BC_S_LE

	compareLen = 8
	leafLen    = 2*compareLen + 4 // at least, at most, accept
)

// portProgramLen is the length of the program for n ports, n > 0.
func portProgramLen(n int) int { return n*leafLen + (n-1)*compareLen }

// appendPortProgram appends the program for ports, which are sorted and not none; rest is how many
// bytes follow it before the end of the whole.
func appendPortProgram(b []byte, ports []uint16, rest int) []byte {
	if len(ports) == 1 {
		const reject = 4
		b = appendCompare(b, opGE, ports[0], leafLen+rest+reject)
		b = appendCompare(b, opLE, ports[0], leafLen-compareLen+rest+reject)
		return appendOp(b, opJump, 4, 4+rest)
	}
	low, high := ports[:len(ports)/2], ports[len(ports)/2:]
	b = appendCompare(b, opGE, high[0], compareLen+portProgramLen(len(high)))
	b = appendPortProgram(b, high, portProgramLen(len(low))+rest)
	return appendPortProgram(b, low, rest)
}

func appendCompare(b []byte, code byte, port uint16, no int) []byte {
	b = appendOp(b, code, compareLen, no)
	return appendOp(b, 0, 0, int(port))
}

func appendOp(b []byte, code, yes byte, no int) []byte {
	return binary.NativeEndian.AppendUint16(append(b, code, yes), uint16(no))
}
