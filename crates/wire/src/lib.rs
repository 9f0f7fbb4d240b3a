//! Remote write 1.0 and 2.0, exposition formats, compression with caps.
