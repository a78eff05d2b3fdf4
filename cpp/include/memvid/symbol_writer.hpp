// Draws QR codes: one segment in byte mode, so that every reader hands out the bytes.
#pragma once

#include "memvid/bytes.hpp"
#include "memvid/qr_layout.hpp"

namespace memvid {

struct SymbolOptions {
    int version = 40;
    ErrorCorrection level = ErrorCorrection::L;
    int data_mask = 0;  // 0 to 7, or -1 to try all eight and take the best
    bool utf8 = false;  // the payload is text: if it is not ASCII, an ECI designator says that it is UTF-8
};

// Bytes that fit into one symbol.
int symbol_capacity(const SymbolOptions& options);

// A symbol's modules without a quiet zone, one byte each, 1 = black, row by row.
struct Symbol {
    int side = 0;
    Bytes modules;
};

// Throws Error(too_large) when the payload does not fit.
Symbol create_symbol(ByteView payload, const SymbolOptions& options);

}  // namespace memvid
