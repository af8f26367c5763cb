//! Authorities that count in files on several disks.
