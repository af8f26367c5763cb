//! Each step between two MariaDB databases, with writers that know nothing of moves.
