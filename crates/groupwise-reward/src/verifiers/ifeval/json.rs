//! Whether Python's `json.loads` reads a text, without building what it says and without recursion.

/// True if `text` is one JSON value as Python reads it: `NaN`, `Infinity` and `-Infinity` are values, a key may stand twice
/// and half of a surrogate pair may stand alone.
///
/// Unlike Python, no nesting is too deep and no integer too long.
pub(super) fn is_python_json(text: &str) -> bool {
    let mut reader = Reader {
        bytes: text.as_bytes(),
        at: 0,
    };
    reader.document().is_some()
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    List,
    Object,
}

impl Reader<'_> {
    fn document(&mut self) -> Option<()> {
        let mut open = Vec::new();
        self.value(&mut open)?;
        loop {
            self.space();
            let Some(innermost) = open.last().copied() else {
                return (self.at == self.bytes.len()).then_some(());
            };
            match (self.next()?, innermost) {
                (b',', Open::List) => self.value(&mut open)?,
                (b',', Open::Object) => {
                    self.key()?;
                    self.value(&mut open)?;
                }
                (b']', Open::List) | (b'}', Open::Object) => {
                    open.pop();
                }
                _ => return None,
            }
        }
    }

    /// Reads a value up to its end, or up to the end of the first scalar in it: what was opened is on the stack then.
    fn value(&mut self, open: &mut Vec<Open>) -> Option<()> {
        loop {
            self.space();
            let (kind, end) = match self.peek()? {
                b'[' => (Open::List, b']'),
                b'{' => (Open::Object, b'}'),
                _ => return self.scalar(),
            };
            self.at += 1;
            self.space();
            if self.peek()? == end {
                self.at += 1;
                return Some(());
            }
            open.push(kind);
            if kind == Open::Object {
                self.key()?;
            }
        }
    }

    fn key(&mut self) -> Option<()> {
        self.space();
        self.string()?;
        self.space();
        (self.next()? == b':').then_some(())
    }

    fn scalar(&mut self) -> Option<()> {
        const WORDS: [&[u8]; 6] = [b"null", b"true", b"false", b"NaN", b"Infinity", b"-Infinity"];
        if self.peek()? == b'"' {
            return self.string();
        }
        let rest = self.bytes.get(self.at..)?;
        match WORDS.iter().find(|word| rest.starts_with(word)) {
            Some(word) => {
                self.at += word.len();
                Some(())
            }
            None => self.number(),
        }
    }

    /// A number; a fraction or exponent that is not whole is left where it stands, and then spoils what follows.
    fn number(&mut self) -> Option<()> {
        self.skip(b"-");
        match self.next()? {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            _ => return None,
        }
        let before = self.at;
        if self.skip(b".") && !self.some_digits() {
            self.at = before;
            return Some(());
        }
        let before = self.at;
        if self.skip(b"eE") {
            self.skip(b"+-");
            if !self.some_digits() {
                self.at = before;
            }
        }
        Some(())
    }

    fn string(&mut self) -> Option<()> {
        if self.next()? != b'"' {
            return None;
        }
        loop {
            match self.next()? {
                b'"' => return Some(()),
                0..=0x1f => return None,
                b'\\' => match self.next()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => {
                        let digits = self.bytes.get(self.at..self.at + 4)?;
                        self.at += 4;
                        digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                    }
                    _ => return None,
                },
                _ => {}
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn skip(&mut self, any_of: &[u8]) -> bool {
        let found = self.peek().is_some_and(|byte| any_of.contains(&byte));
        self.at += usize::from(found);
        found
    }

    fn some_digits(&mut self) -> bool {
        let before = self.at;
        self.digits();
        self.at > before
    }

    fn digits(&mut self) {
        while self.skip(b"0123456789") {}
    }

    fn space(&mut self) {
        while self.skip(b" \t\n\r") {}
    }
}
