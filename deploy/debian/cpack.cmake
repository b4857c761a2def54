# The Debian package: made by deploy/package.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME loopsight)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "loopsight <dev@loopsight.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "watches CPython event loops from outside")
set(CPACK_PACKAGE_DESCRIPTION "loopsight says when an event loop of a Python program (asyncio, uvloop,
Tornado, trio, gevent, Twisted) stalled, for how long, on what, and whose
code it was. It needs no change to the program and no restart: it looks from
outside, with eBPF, and serves metrics to Prometheus.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "adduser")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "prometheus")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
foreach(file postinst prerm postrm conffiles)
  list(APPEND CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_LIST_DIR}/${file})
endforeach()

# Debian wants these compressed, and compressed the same way each time.
set(texts ${CMAKE_BINARY_DIR}/package-texts)
file(MAKE_DIRECTORY ${texts})
function(install_compressed source name folder)
  execute_process(COMMAND gzip -9n INPUT_FILE ${source} OUTPUT_FILE ${texts}/${name}.gz
                  COMMAND_ERROR_IS_FATAL ANY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  install(FILES ${texts}/${name}.gz DESTINATION ${folder})
endfunction()
install_compressed(${PROJECT_SOURCE_DIR}/deploy/man/loopsight.8 loopsight.8 share/man/man8)
install_compressed(${PROJECT_SOURCE_DIR}/deploy/man/loopsight.yml.5 loopsight.yml.5 share/man/man5)
install_compressed(${PROJECT_SOURCE_DIR}/CHANGELOG.md changelog share/doc/loopsight)
install_compressed(${CMAKE_CURRENT_LIST_DIR}/changelog changelog.Debian share/doc/loopsight)
install(FILES ${CMAKE_CURRENT_LIST_DIR}/copyright ${PROJECT_SOURCE_DIR}/README.md
        DESTINATION share/doc/loopsight)
install(FILES ${CMAKE_CURRENT_LIST_DIR}/lintian-overrides
        DESTINATION share/lintian/overrides RENAME loopsight)
include(CPack)
