-- Attempts in progress are no failures. `taken` counts both, as before: an older server beside a newer one reads and
-- writes nothing else.
ALTER TABLE password_attempts
    -- Those of `taken` whose password was wrong. The others are in progress.
    ADD COLUMN failed integer NOT NULL DEFAULT 0,
    -- The last attempt that was taken by a server that counts failures: in progress for long, it was lost.
    ADD COLUMN last_taken_at timestamptz;
