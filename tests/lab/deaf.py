"""What is run in a guest to have it not hear that it is to go down, and to hear it again."""

MAKE_DEAF = """
mv /sbin/shutdown /sbin/shutdown.kept; mv /sbin/tiny-acpid /sbin/tiny-acpid.kept
printf '#!/bin/sh\\nexit 0\\n' > /sbin/shutdown
printf '#!/bin/sh\\nexec sleep 9999\\n' > /sbin/tiny-acpid
chmod 755 /sbin/shutdown /sbin/tiny-acpid; sync; killall acpid
"""
HEAR_AGAIN = """
mv /sbin/shutdown.kept /sbin/shutdown; mv /sbin/tiny-acpid.kept /sbin/tiny-acpid; sync
killall sleep
"""
