-- What a page says once about what a form did just before, by the path of the page: `{"/dashboard/settings": "role_changed:0"}`.
-- NULL: nothing to say.
ALTER TABLE sessions ADD COLUMN flash jsonb;
