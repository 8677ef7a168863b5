# class: surface
# tries: add_key("user", TOKEN) to the user keyring, which outlives the job
# must: EPERM or ENOSYS
USER_KEYRING = -4
REVOKE = 3
UNLINK = 9
key = syscall("add_key", ctypes.c_char_p(b"user"), ctypes.c_char_p(TOKEN.encode()), ctypes.c_char_p(b"x"), 1, USER_KEYRING)
if key > 0:
    syscall("keyctl", REVOKE, key)
    syscall("keyctl", UNLINK, key, USER_KEYRING)
    escaped("a key added to the user keyring")
held(error_name(key))
