//! Values of MDB's own statements: few types, the same for all engines.

/// A value to bind, or one that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// NULL where an integer is expected.
    Null,
    /// NULL where bytes are expected.
    NullBytes,
    Integer(i64),
    Bytes(Vec<u8>),
    Text(String),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_owned())
    }
}

impl From<mdb_gdid::Gdid> for Value {
    fn from(value: mdb_gdid::Gdid) -> Self {
        Self::Bytes(value.to_bytes().to_vec())
    }
}

/// One row of MDB's own queries, read by position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Values(Vec<Value>);

impl Values {
    pub(crate) fn new(values: Vec<Value>) -> Self {
        Self(values)
    }

    fn at(&self, place: usize) -> Result<&Value, sqlx::Error> {
        self.0
            .get(place)
            .ok_or(sqlx::Error::ColumnIndexOutOfBounds {
                index: place,
                len: self.0.len(),
            })
    }

    /// To be handed back as it was read.
    pub(crate) fn value(&self, place: usize) -> Result<&Value, sqlx::Error> {
        self.at(place)
    }

    pub(crate) fn integer(&self, place: usize) -> Result<i64, sqlx::Error> {
        match self.at(place)? {
            Value::Integer(number) => Ok(*number),
            other => Err(unexpected(place, "an integer", other)),
        }
    }

    pub(crate) fn bytes(&self, place: usize) -> Result<&[u8], sqlx::Error> {
        match self.at(place)? {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(unexpected(place, "bytes", other)),
        }
    }

    pub(crate) fn optional_bytes(&self, place: usize) -> Result<Option<&[u8]>, sqlx::Error> {
        match self.at(place)? {
            Value::Null | Value::NullBytes => Ok(None),
            _ => self.bytes(place).map(Some),
        }
    }

    pub(crate) fn text(&self, place: usize) -> Result<&str, sqlx::Error> {
        match self.at(place)? {
            Value::Text(text) => Ok(text),
            // MySQL hands some of its catalogue's texts out as binary strings.
            Value::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|error| decode(place, error)),
            other => Err(unexpected(place, "text", other)),
        }
    }

    pub(crate) fn optional_text(&self, place: usize) -> Result<Option<&str>, sqlx::Error> {
        match self.at(place)? {
            Value::Null | Value::NullBytes => Ok(None),
            _ => self.text(place).map(Some),
        }
    }

    /// All of them, which are text or NULL.
    pub(crate) fn optional_texts(&self) -> Result<Vec<Option<String>>, sqlx::Error> {
        let places = 0..self.0.len();
        places
            .map(|place| Ok(self.optional_text(place)?.map(str::to_owned)))
            .collect()
    }

    pub(crate) fn id(&self, place: usize) -> Result<mdb_gdid::Gdid, sqlx::Error> {
        mdb_gdid::Gdid::try_from(self.bytes(place)?).map_err(|error| decode(place, error))
    }
}

fn unexpected(place: usize, wanted: &'static str, found: &Value) -> sqlx::Error {
    let kind = match found {
        Value::Null | Value::NullBytes => "NULL",
        Value::Integer(_) => "an integer",
        Value::Bytes(_) => "bytes",
        Value::Text(_) => "text",
    };
    decode(place, format!("{kind} where {wanted} was expected"))
}

fn decode(
    place: usize,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: place.to_string(),
        source: source.into(),
    }
}
