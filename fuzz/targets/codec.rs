//! Bytes to lines: the same lines however the bytes come, and no byte of them lost.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use mcp_supervise::wire::{Line, LineCodec};
use tokio_util::codec::Decoder as _;

/// The lines of these bytes, which come in pieces of this size.
fn lines(bytes: &[u8], piece: usize, max_line: usize) -> Vec<Line> {
    let mut codec = LineCodec::new(max_line);
    let (mut buffer, mut lines) = (BytesMut::new(), Vec::new());
    for part in bytes.chunks(piece) {
        buffer.extend_from_slice(part);
        while let Some(line) = codec.decode(&mut buffer).expect("no bytes are an error") {
            lines.push(line);
        }
    }
    while let Some(line) = codec.decode_eof(&mut buffer).expect("no end is an error") {
        lines.push(line);
    }
    lines
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (piece, max_line, bytes) = (usize::from(input.0) + 1, usize::from(input.1) * 4 + 1, input.2);
    let whole = lines(bytes, bytes.len().max(1), max_line);
    assert_eq!(format!("{:?}", lines(bytes, piece, max_line)), format!("{whole:?}"));
    let lengths = whole.iter().map(|line| match line {
        Line::Whole(line) => line.len(),
        Line::Oversize(line) => usize::try_from(line.len).unwrap_or(usize::MAX) + 1,
    });
    // The last line may have had no line feed.
    let (sum, open) = (lengths.sum::<usize>(), usize::from(bytes.last().is_some_and(|last| *last != b'\n')));
    assert_eq!(sum, bytes.len() + open);
});
