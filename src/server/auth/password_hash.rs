//! Argon2id hashes as PHC strings.

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, PasswordHash, Salt},
};

use super::password::PasswordError;

/// Larger than any allocation that glibc keeps for reuse (`DEFAULT_MMAP_THRESHOLD_MAX`, 32 MiB).
const MIN_ALLOCATED_BLOCKS: usize = 33 * 1024;

/// Memory in KiB and passes.
pub type HashCost = (u32, u32);

/// Hashes a password with a new salt.
///
/// # Errors
/// The cost is outside of argon2's limits.
pub fn hash((memory, passes): HashCost, password: &str) -> Result<String, PasswordError> {
    let params = Params::new(memory, passes, 1, None).map_err(hash_error)?;
    let (algorithm, version) = (Algorithm::Argon2id, Version::V0x13);
    let salt = Salt::generate();
    let output_bytes = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let shown = (&params).try_into().map_err(hash_error)?;
    let argon2 = Argon2::new(algorithm, version, params);
    let output = compute_hash(&argon2, password, &salt, output_bytes)?;
    let hash = PasswordHash {
        algorithm: algorithm.ident(),
        version: Some(version.into()),
        params: shown,
        salt: Some(salt),
        hash: Some(output),
    };
    Ok(hash.to_string())
}

/// Whether the hash is of this password. Compares in constant time.
///
/// # Errors
/// The hash is invalid.
pub fn verify(password: &str, hash: &str) -> Result<bool, PasswordError> {
    let hash = PasswordHash::new(hash).map_err(hash_error)?;
    let (Some(salt), Some(expected)) = (hash.salt, hash.hash) else {
        return Err(PasswordError::Hash("salt or hash is missing".to_owned()));
    };
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).map_err(hash_error)?;
    let version = hash
        .version
        .map_or(Ok(Version::V0x13), Version::try_from)
        .map_err(hash_error)?;
    let params = Params::try_from(&hash).map_err(hash_error)?;
    let argon2 = Argon2::new(algorithm, version, params);
    Ok(compute_hash(&argon2, password, &salt, expected.len())? == expected)
}

/// Computes a hash in memory that returns to the system at once. A smaller allocation would stay with each thread that ever
/// hashed: 19 MiB each, hundreds in total. Unused pages cost nothing.
fn compute_hash(
    argon2: &Argon2<'_>,
    password: &str,
    salt: &[u8],
    output_bytes: usize,
) -> Result<Output, PasswordError> {
    let blocks = argon2.params().block_count();
    let mut memory = Vec::with_capacity(blocks.max(MIN_ALLOCATED_BLOCKS));
    memory.resize(blocks, Block::new());
    let mut buffer = [0; Output::MAX_LENGTH];
    let output = buffer
        .get_mut(..output_bytes)
        .ok_or_else(|| PasswordError::Hash("the hash is too long".to_owned()))?;
    argon2
        .hash_password_into_with_memory(password.as_bytes(), salt, output, memory)
        .map_err(hash_error)?;
    Output::new(output).map_err(hash_error)
}

fn hash_error(error: impl std::fmt::Display) -> PasswordError {
    PasswordError::Hash(error.to_string())
}

#[cfg(test)]
mod tests {
    use argon2::{PasswordHasher as _, PasswordVerifier as _};

    use super::*;

    #[test]
    fn hashes_equal_those_of_the_argon2_crate() {
        let ours = hash((64, 1), "correct horse").expect("a hash");
        assert!(ours.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{ours}");
        assert!(
            Argon2::default()
                .verify_password(b"correct horse", ours.as_str())
                .is_ok()
        );
        assert_ne!(hash((64, 1), "correct horse").expect("a hash"), ours);
        // Of the crate, with a hash of another length.
        let params = Params::new(64, 1, 1, Some(24)).expect("a cost");
        let theirs = Argon2::from(params)
            .hash_password(b"correct horse")
            .expect("a hash")
            .to_string();
        assert!(verify("correct horse", &theirs).expect("checked"));
        assert!(!verify("correct house", &theirs).expect("checked"));
        assert!(verify("x", "$argon2id$v=19$m=64,t=1,p=1$").is_err());
    }
}
