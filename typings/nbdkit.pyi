# The module that nbdkit gives to a plugin.
FUA_NATIVE: int
FLAG_FUA: int
FLAG_MAY_TRIM: int
