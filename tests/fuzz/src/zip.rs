//! Zip archives as `torch.save` writes them: entries stored as they are.

/// An archive of these entries.
pub fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let at = out.len() as u32;
        let sizes = [data.len() as u32, data.len() as u32].map(u32::to_le_bytes).concat();
        let names = [name.len() as u16, 0].map(u16::to_le_bytes).concat(); // and no extra field
        let common = [&[0; 12][..], &sizes, &names].concat(); // flags, method, time, date and checksum are 0
        out.extend([b"PK\x03\x04\x14\0", &common[..], name.as_bytes(), data].concat());
        directory.extend([b"PK\x01\x02\x14\0\x14\0", &common[..], &[0; 10], &at.to_le_bytes(), name.as_bytes()].concat());
    }
    let (count, bytes, at) = (entries.len() as u16, directory.len() as u32, out.len() as u32);
    let end = [&[0; 4][..], &count.to_le_bytes(), &count.to_le_bytes(), &bytes.to_le_bytes(), &at.to_le_bytes(), &[0; 2]].concat();
    [&out[..], &directory, b"PK\x05\x06", &end].concat()
}
