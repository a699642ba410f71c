// The border of a tool in Go: `bailiwick:tool/handler@0.1.0` by the canonical ABI, for one tool that answers with text.

package main

import "unsafe"

// What the host or the other side of the border points to. It lives as long as the call.
var kept [][]byte

func room(size uint32) unsafe.Pointer {
	bytes := make([]byte, size+8)
	kept = append(kept, bytes)
	at := unsafe.Pointer(unsafe.SliceData(bytes))
	return unsafe.Add(at, -uintptr(at)&7)
}

func number(at unsafe.Pointer, offset int, value uint32) { *(*uint32)(unsafe.Add(at, offset)) = value }

func text(at unsafe.Pointer, offset int, value string) {
	bytes := []byte(value)
	kept = append(kept, bytes)
	number(at, offset, uint32(uintptr(unsafe.Pointer(unsafe.SliceData(bytes)))))
	number(at, offset+4, uint32(len(bytes)))
}

func list(at unsafe.Pointer, offset int, first unsafe.Pointer, length uint32) {
	number(at, offset, uint32(uintptr(first)))
	number(at, offset+4, length)
}

// Not under the name `cabi_realloc`: that one the adapter would call before Go has started.
//
//go:wasmexport cabi_export_realloc
func exportRealloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	return room(size)
}

//go:wasmexport bailiwick:tool/handler@0.1.0#describe
func describe() unsafe.Pointer {
	kinds, definition, all := room(8), room(56), room(8)
	text(kinds, 0, "files")
	text(definition, 0, name)
	text(definition, 20, description)
	text(definition, 28, `{"type":"object"}`)
	list(definition, 48, kinds, 1)
	list(all, 0, definition, 1)
	return all
}

//go:wasmexport bailiwick:tool/handler@0.1.0#call
func call(nameAt unsafe.Pointer, nameLen uint32, argumentsAt unsafe.Pointer, argumentsLen uint32) unsafe.Pointer {
	block, answer := room(80), room(24) // a block of a reply, whose first case is text; `result<reply, error>`
	text(block, 8, run())
	list(answer, 4, block, 1)
	return answer
}

func main() {}
