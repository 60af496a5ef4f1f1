//! The events inside a compressed transaction, one by one.
//!
//! In: the packed bytes and the size that they promise to have. Out: events, each as soon as it is complete. Unpacks in
//! small pieces, so that memory is bounded by the packed bytes and the largest event, whatever comes out (promise 6); more
//! or less than was promised, and anything after the end, is an error (promise 7).

use bytes::{Buf, Bytes, BytesMut};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use crate::column::Fault;

use super::event::{BinlogEvent, HEADER_BYTES, Payload, PayloadCompression};
use super::link::PACKET_BYTES_MAX;

/// Bytes unpacked at a time.
const PIECE_BYTES: usize = 64 << 10;

/// 128 MiB, what the highest compression level that the server allows uses. With a larger window the sender
/// would decide how much memory is used.
const WINDOW_LOG_MAX: u32 = 27;

/// Where the size stands in an event's header.
const SIZE_AT: usize = 9;

/// Unpacks one transaction after another.
pub(super) struct Unpacker {
    /// Kept over transactions, because small ones are many and a decoder is large.
    decoder: Decoder<'static>,
    open: Option<Open>,
}

/// A transaction under way.
struct Open {
    compression: PayloadCompression,
    packed: Bytes,
    /// Unpacked, but not yet a whole event.
    unpacked: BytesMut,
    /// Bytes that are still to be unpacked.
    missing_bytes: u64,
    /// The packed bytes up to here are whole frames.
    is_between_frames: bool,
}

impl Unpacker {
    pub fn new() -> Result<Unpacker, Fault> {
        let mut decoder = Decoder::new().map_err(corrupt)?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(corrupt)?;
        Ok(Unpacker { decoder, open: None })
    }

    /// Begins with a TRANSACTION_PAYLOAD event, after the last one was read to its end.
    pub fn open(&mut self, body: &Bytes) -> Result<(), Fault> {
        let Payload { compression, unpacked_bytes, packed } = Payload::parse(body)?;
        self.decoder.reinit().map_err(corrupt)?;
        self.open = Some(Open {
            compression,
            packed: body.slice_ref(packed),
            unpacked: BytesMut::new(),
            missing_bytes: unpacked_bytes,
            is_between_frames: false,
        });
        Ok(())
    }

    /// The next event; none when no transaction is open or its last event was given.
    pub fn next(&mut self) -> Result<Option<BinlogEvent>, Fault> {
        let Some(open) = &mut self.open else { return Ok(None) };
        loop {
            if let Some(event) = open.take_event()? {
                return Ok(Some(event));
            }
            if open.missing_bytes == 0 {
                open.finish(&mut self.decoder)?;
                self.open = None;
                return Ok(None);
            }
            open.unpack(&mut self.decoder)?;
        }
    }
}

impl Open {
    fn take_event(&mut self) -> Result<Option<BinlogEvent>, Fault> {
        let Some(size) = self.unpacked.get(SIZE_AT..SIZE_AT + 4) else { return Ok(None) };
        let size = u32::from_le_bytes([size[0], size[1], size[2], size[3]]) as usize;
        let room = self.unpacked.len() as u64 + self.missing_bytes;
        if !(HEADER_BYTES..=PACKET_BYTES_MAX).contains(&size) || size as u64 > room {
            return Err(Fault::new(format!("an event of {size} bytes where {room} are left"), ""));
        }
        if self.unpacked.len() < size {
            return Ok(None);
        }
        Ok(Some(BinlogEvent::parse(self.unpacked.split_to(size).freeze(), true)?))
    }

    /// Unpacks another piece.
    fn unpack(&mut self, decoder: &mut Decoder<'static>) -> Result<(), Fault> {
        let wanted = self.missing_bytes.min(PIECE_BYTES as u64) as usize;
        let filled = self.unpacked.len();
        if self.compression == PayloadCompression::None {
            let here = wanted.min(self.packed.len());
            if here == 0 {
                return Err(self.short());
            }
            self.unpacked.extend_from_slice(&self.packed[..here]);
            self.packed.advance(here);
        } else {
            self.unpacked.resize(filled + wanted, 0);
            let written = self.run(decoder, filled)?;
            self.unpacked.truncate(filled + written);
        }
        self.missing_bytes -= (self.unpacked.len() - filled) as u64;
        Ok(())
    }

    /// Lets the decoder write after the first `filled` bytes; returns how many it wrote.
    fn run(&mut self, decoder: &mut Decoder<'static>, filled: usize) -> Result<usize, Fault> {
        let mut input = InBuffer::around(&self.packed);
        let mut output = OutBuffer::around(&mut self.unpacked[filled..]);
        let hint = decoder.run(&mut input, &mut output).map_err(corrupt)?;
        let (read, written) = (input.pos(), output.pos());
        if read == 0 && written == 0 {
            return Err(self.short());
        }
        self.packed.advance(read);
        self.is_between_frames = hint == 0;
        Ok(written)
    }

    fn short(&self) -> Fault {
        Fault::new(format!("a compressed transaction lacks {} bytes", self.missing_bytes), "")
    }

    /// Makes sure that nothing is left over.
    fn finish(&mut self, decoder: &mut Decoder<'static>) -> Result<(), Fault> {
        let surplus = || Fault::new("a compressed transaction is longer than it says", "");
        if !self.unpacked.is_empty() {
            return Err(Fault::new("a compressed transaction ends in the middle of an event", ""));
        }
        if self.compression == PayloadCompression::None {
            return if self.packed.is_empty() { Ok(()) } else { Err(surplus()) };
        }
        while !self.is_between_frames || !self.packed.is_empty() {
            // Room for one byte: the end of a frame needs none.
            self.unpacked.resize(1, 0);
            if self.run(decoder, 0)? != 0 {
                return Err(surplus());
            }
        }
        Ok(())
    }
}

fn corrupt(problem: std::io::Error) -> Fault {
    Fault::new(format!("a compressed transaction cannot be unpacked: {problem}"), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u8, body: &[u8]) -> Vec<u8> {
        let size = (HEADER_BYTES + body.len()) as u32;
        [&[0, 0, 0, 0, kind, 1, 0, 0, 0][..], &size.to_le_bytes(), &[0; 6], body].concat()
    }

    fn payload(packed: &[u8], code: u8, promised: u64) -> Bytes {
        let lenenc = |value: u64| [&[0xfe][..], &value.to_le_bytes()].concat();
        let compression = if code == 255 { vec![0xfc, 255, 0] } else { vec![code] };
        let mut body = vec![2, compression.len() as u8];
        body.extend(compression);
        for (field, value) in [(3, promised), (1, packed.len() as u64)] {
            body.extend([field, 9]);
            body.extend(lenenc(value));
        }
        body.push(0);
        body.extend(packed);
        body.into()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 3).expect("compressed")
    }

    fn all(body: &Bytes) -> Result<Vec<BinlogEvent>, Fault> {
        let mut unpacker = Unpacker::new().expect("an unpacker");
        unpacker.open(body)?;
        let mut events = Vec::new();
        while let Some(event) = unpacker.next()? {
            events.push(event);
        }
        Ok(events)
    }

    #[test]
    fn events_are_unpacked_as_they_were_packed() {
        let bodies =
            [vec![], b"small".to_vec(), (0..200_000_u32).flat_map(u32::to_le_bytes).collect(), b"last".to_vec()];
        let inside: Vec<u8> = bodies.iter().flat_map(|body| event(30, body)).collect();
        // Two frames, one after the other, are as good as one.
        let two = [zstd(&inside[..1000]), zstd(&inside[1000..])].concat();
        for (packed, code) in [(zstd(&inside), 0), (two, 0), (inside.clone(), 255)] {
            let events = all(&payload(&packed, code, inside.len() as u64)).expect("events");
            assert_eq!(events.iter().map(|event| event.body.to_vec()).collect::<Vec<_>>(), bodies);
            assert!(events.iter().all(|event| event.is_inner && event.kind == 30));
        }
        assert_eq!(all(&payload(&zstd(b""), 0, 0)).expect("no event"), []);
    }

    #[test]
    fn a_payload_that_unpacks_to_another_size_than_it_promises_is_refused() {
        let inside = event(30, &[7; 1000]);
        let bytes = inside.len() as u64;
        for (packed, code, promised) in [
            (zstd(&[&inside[..], &inside].concat()), 0, bytes),
            (zstd(&[&inside[..], b"x"].concat()), 0, bytes),
            (zstd(&inside), 0, bytes + 1),
            (zstd(&inside), 0, bytes - 1),
            ([zstd(&inside), b"x".to_vec()].concat(), 0, bytes),
            (zstd(&inside)[..20].to_vec(), 0, bytes),
            (inside.clone(), 255, bytes + 1),
            (inside.clone(), 255, bytes - 1),
            (inside.clone(), 0, bytes),
            (zstd(&inside[..500]), 0, 500),
        ] {
            all(&payload(&packed, code, promised)).expect_err("a lie");
        }
    }

    #[test]
    fn a_compression_bomb_is_refused_after_one_piece() {
        let bomb = zstd(&vec![0; 64 << 20]);
        assert!(bomb.len() < 16 << 10);
        let mut unpacker = Unpacker::new().expect("an unpacker");
        // Zeros are no events; the promise of petabytes allocates nothing.
        for promised in [100, 1 << 50] {
            unpacker.open(&payload(&bomb, 0, promised)).expect("a head");
            unpacker.next().expect_err("no event");
            let open = unpacker.open.as_ref().expect("still open");
            assert!(open.unpacked.capacity() <= 4 * PIECE_BYTES, "{}", open.unpacked.capacity());
        }
        // One event that claims to be as large as the bomb: it is buffered while it grows, and not beyond its size.
        let mut huge = event(30, &[]);
        huge[SIZE_AT..SIZE_AT + 4].copy_from_slice(&(PACKET_BYTES_MAX as u32 + 1).to_le_bytes());
        huge.resize(64 << 20, 0);
        unpacker.open(&payload(&zstd(&huge), 0, 1 << 50)).expect("a head");
        unpacker.next().expect_err("an event above the limit");
    }

    #[test]
    fn memory_follows_the_largest_event_and_not_the_transaction() {
        let inside = event(30, &[7; 100_000]).repeat(1000);
        let body = payload(&zstd(&inside), 0, inside.len() as u64);
        let mut unpacker = Unpacker::new().expect("an unpacker");
        unpacker.open(&body).expect("a head");
        let (mut events, mut capacity_max) = (0, 0);
        while let Some(event) = unpacker.next().expect("an event") {
            assert_eq!(event.body.len(), 100_000);
            events += 1;
            capacity_max = capacity_max.max(unpacker.open.as_ref().map_or(0, |open| open.unpacked.capacity()));
        }
        assert_eq!(events, 1000);
        assert!(capacity_max <= 1 << 20, "{capacity_max}");
    }

    #[test]
    fn after_a_damaged_payload_the_next_one_is_read() {
        let inside = event(30, b"row");
        let mut unpacker = Unpacker::new().expect("an unpacker");
        unpacker.open(&payload(&zstd(&inside)[..15], 0, inside.len() as u64)).expect("a head");
        unpacker.next().expect_err("damage");
        unpacker.open(&payload(&zstd(&inside), 0, inside.len() as u64)).expect("a head");
        assert_eq!(unpacker.next().expect("an event").expect("one").body, b"row"[..]);
    }

    proptest::proptest! {
        #[test]
        fn no_damage_whatever_makes_it_panic(at in 0..2000_usize, byte in proptest::num::u8::ANY) {
            let inside: Vec<u8> = (0..50_u32).flat_map(|n| event(30, &n.to_le_bytes())).collect();
            let mut body = payload(&zstd(&inside), 0, inside.len() as u64).to_vec();
            let at = at % body.len();
            body[at] = byte;
            let _ = all(&body.into());
        }
    }
}
