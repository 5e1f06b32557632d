--- Files: arrays (.npz), images, whole files, folders, checksums, downloads.
-- What is written appears whole or not at all, also when the program is killed or the disk is full.
-- Errors name the file and the reason. All of it is C, core/bind/io*.c; the texts are in bound.lua.

return require "convlua.core.io"
