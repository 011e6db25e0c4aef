package watch

import "encoding/binary"

func native(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }
